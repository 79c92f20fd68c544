"""Initial weights of a small language model that looks words up in visual tokens from the first step.

From random weights a small transformer needs very many examples before its heads find the visual token that
a word of the question is about and read other words off it. Here most heads begin as matchers, whose queries
and keys are alike, and all of them copy what they look at: what trained transformers look like (mimetic
initialisation: Trockman & Kolter, arXiv 2305.09828). It works where visual tokens are near the embeddings of
the words for what is there (objective ``aligned``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

VISUAL, TEXT = -1, -2
"""Channels that mark visual tokens and words: a word's best match would otherwise be itself."""
VISUAL_MARK = 0.7
"""Of an embedding's length."""
TEXT_MARK = 0.5
SHARPNESS = 20.0
"""Score of a word with itself, before the softmax."""
ASIDE = 10.0
"""What a visual token has over a word in it."""
COPIED = 0.15
"""Gain of what a head copies, where 1 is a normalised token."""


def mark_visual(embeddings: Tensor, length: float = 1.4) -> None:
    """Mark what is added to visual tokens, (..., dl), in place; ``length`` of a token."""
    with torch.no_grad():
        embeddings[..., VISUAL] += VISUAL_MARK * length


@torch.no_grad()
def make_matchers(network: Any) -> None:
    """Fill the weights of a Phi-3 in place; its embeddings keep their length.

    The last head of each layer, and the rotated channels of all, stay random.
    """
    width, heads = network.config.hidden_size, network.config.num_attention_heads
    size = width // heads
    rotated = int(size * network.config.rope_parameters["partial_rotary_factor"])
    table = network.get_input_embeddings().weight
    length = table.norm(dim=1).mean()
    table[:, [VISUAL, TEXT]] = 0
    table.mul_(length / table.norm(dim=1, keepdim=True).clamp(min=1e-6))
    network.get_output_embeddings().weight.copy_(table)
    table[:, TEXT] = TEXT_MARK * length
    content = size - rotated - 1
    gain = (SHARPNESS * size**0.5 / content) ** 0.5
    # Shares of the marks in a token of unit root mean square.
    marks = width * TEXT_MARK / (1 + TEXT_MARK**2) ** 0.5 * VISUAL_MARK / (1 + VISUAL_MARK**2) ** 0.5
    aside = (ASIDE * size**0.5 / marks) ** 0.5
    for layer in network.get_decoder().layers:
        attention = layer.self_attn
        queries, keys, values = attention.qkv_proj.weight.split(width)
        values.copy_(_orthogonal(width))
        attention.o_proj.weight.copy_(COPIED * values.T)
        for projection in (queries, keys):
            projection.normal_(std=width**-0.5)
        for head in range(heads - 1):
            first = head * size
            matched = slice(first + rotated, first + size - 1)
            same = gain * _orthogonal(width)[:content]
            same[:, [VISUAL, TEXT]] = 0
            for projection, mark in ((queries, TEXT), (keys, VISUAL)):
                projection[first : first + rotated] *= 0.5
                projection[matched] = same
                projection[first + size - 1] = 0
                projection[first + size - 1, mark] = aside
        layer.mlp.gate_up_proj.weight.normal_(std=width**-0.5)
        layer.mlp.down_proj.weight.normal_(std=0.3 * COPIED * layer.mlp.down_proj.in_features**-0.5)


def _orthogonal(width: int) -> Tensor:
    rotation, _ = torch.linalg.qr(torch.randn(width, width))
    return torch.as_tensor(rotation)
