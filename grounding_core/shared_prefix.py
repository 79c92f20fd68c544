"""Attention of many questions to one prefix: its keys are kept once and read once for all of them.

transformers' own cache holds a copy of the prefix for every row and copies all of it for every token. Here a
row holds the keys of its own question and answer alone; the prefix's are multiplied with the queries of all
rows in one matrix product. The result is the softmax over both, as if they stood in one row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, Cache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "grounding_shared_prefix"
"""Of the attention function among transformers' own."""

ROOM = 64
"""Tokens that a row makes room for at once."""


class SharedLayer(DynamicLayer):
    """One layer's cache: a prefix (1, heads, m, d) that rows share, and what is their own.

    ``update`` gives the rows' own keys, marked with the prefix's for :func:`attend`.
    """

    def __init__(self, prefix_keys: Tensor, prefix_values: Tensor) -> None:
        super().__init__()
        self.prefix = prefix_keys, prefix_values
        self.length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """See :class:`transformers.cache_utils.DynamicLayer`; writes in place, grows by whole blocks."""
        end = self.length + key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = _room(key_states, end), _room(value_states, end)
        elif end > self.keys.shape[-2]:
            kept = self.keys, self.values
            self.keys, self.values = _room(key_states, end), _room(value_states, end)
            for whole, part in zip((self.keys, self.values), kept, strict=True):
                whole[:, :, : self.length] = part[:, :, : self.length]
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        own: Any = self.keys[:, :, :end]
        own.shared_prefix = self.prefix
        return own, self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Tokens a row has seen, the prefix's included."""
        return int(self.prefix[0].shape[-2]) + self.length


def _room(states: Tensor, length: int) -> Tensor:
    """An empty cache for ``length`` tokens and some more."""
    n, heads, _, width = states.shape
    return states.new_empty((n, heads, -(-length // ROOM) * ROOM, width))


def share(cache: Cache) -> Cache:
    """A cache for any number of rows that follow the single row of another, which is not changed."""
    return Cache(layers=[SharedLayer(layer.keys, layer.values) for layer in cache.layers])


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention to a shared prefix and to a row's own keys; without a prefix, PyTorch's own.

    Args:
        module: a layer's attention.
        query: (n, heads, q, d).
        key: (n, key heads, s, d), marked by :class:`SharedLayer`.
        value: likewise.
        attention_mask: added to the scores; with a prefix of m tokens (n, 1, q, m + s), or (n, 1, q, s)
            where all of the prefix is seen.
        options: ``scaling`` and what transformers passes besides.

    Returns:
        (n, q, heads, d), and no weights.
    """
    prefix: tuple[Tensor, Tensor] | None = getattr(key, "shared_prefix", None)
    if prefix is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return found
    assert attention_mask is not None
    keys, values = prefix
    n, heads, q, d = query.shape
    groups, m, s, width = key.shape[1], keys.shape[-2], key.shape[-2], values.shape[-1]
    scaling = options.get("scaling") or d**-0.5
    # (rows, key heads, queries, d): all heads and tokens of a row that look at one key head.
    own = (query * scaling).reshape(n, groups, -1, d)
    # All rows' queries at one key head of the prefix, in one matrix product.
    flat = own.transpose(0, 1).reshape(groups, -1, d)
    past_scores = torch.bmm(flat, keys[0].transpose(1, 2)).view(groups, n, -1, m)
    own_scores = own @ key.transpose(-1, -2)
    own_scores.view(n, groups, -1, q, s).add_(attention_mask[:, None, :, :, -s:])
    if attention_mask.shape[-1] > s:
        past_scores.view(groups, n, -1, q, m).add_(attention_mask[..., :m])
    scores = torch.cat([past_scores, own_scores.transpose(0, 1)], -1)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    past_mixed = torch.bmm(weights[..., :m].flatten(1, 2), values[0]).view(groups, n, -1, width)
    mixed = past_mixed.transpose(0, 1) + weights[..., m:].transpose(0, 1) @ value
    return mixed.reshape(n, heads, q, width).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
