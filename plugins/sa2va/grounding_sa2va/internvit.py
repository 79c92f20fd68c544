"""InternViT (arXiv 2312.14238) under the names of its published weights, and the way to language tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from grounding_sa2va.layout import Layout, Vision


def _norm(sizes: Vision) -> nn.Module:
    kind = nn.RMSNorm if sizes.norm_type == "rms_norm" else nn.LayerNorm
    return kind(sizes.hidden_size, eps=sizes.layer_norm_eps)


class Embeddings(nn.Module):
    """Patches and their positions, behind a class token."""

    def __init__(self, sizes: Vision) -> None:
        super().__init__()
        width, patch = sizes.hidden_size, sizes.patch_size
        self.side = sizes.image_size // patch
        self.class_embedding = nn.Parameter(torch.randn(1, 1, width))
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch)
        self.position_embedding = nn.Parameter(torch.randn(1, self.side**2 + 1, width))

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels)
        grid = tuple(patches.shape[-2:])
        first, places = self.position_embedding.split([1, self.side**2], dim=1)
        if grid != (self.side, self.side):
            square = places.float().transpose(1, 2).unflatten(2, (self.side, self.side))
            wanted = F.interpolate(square, size=grid, mode="bicubic", align_corners=False)
            places = wanted.flatten(2).transpose(1, 2).to(places.dtype)
        tokens = patches.flatten(2).transpose(1, 2) + places
        return torch.cat([(self.class_embedding + first).expand(len(tokens), -1, -1), tokens], dim=1)


class Attention(nn.Module):
    """Self-attention; queries and keys of all heads may be normalised together."""

    def __init__(self, sizes: Vision) -> None:
        super().__init__()
        width = sizes.hidden_size
        self.heads = sizes.num_attention_heads
        self.qkv = nn.Linear(width, 3 * width, bias=sizes.qkv_bias)
        self.proj = nn.Linear(width, width)
        self.normed = sizes.qk_normalization
        if self.normed:
            self.q_norm = nn.RMSNorm(width, eps=sizes.layer_norm_eps)
            self.k_norm = nn.RMSNorm(width, eps=sizes.layer_norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(tokens).chunk(3, dim=-1)
        if self.normed:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        seen = F.scaled_dot_product_attention(q, k, v)
        projected: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return projected


class Layer(nn.Module):
    """Attention and MLP, each scaled channel by channel."""

    def __init__(self, sizes: Vision) -> None:
        super().__init__()
        width, inner = sizes.hidden_size, sizes.intermediate_size
        self.attn = Attention(sizes)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, inner), "fc2": nn.Linear(inner, width)})
        self.act = ACT2FN[sizes.hidden_act]
        self.norm1, self.norm2 = _norm(sizes), _norm(sizes)
        self.ls1, self.ls2 = (nn.Parameter(torch.full((width,), 0.1)) for _ in range(2))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1 * self.attn(self.norm1(tokens))
        inner = self.act(self.mlp["fc1"](self.norm2(tokens)))
        thought: Tensor = self.mlp["fc2"](inner)
        return tokens + self.ls2 * thought


class InternVit(nn.Module):
    """Features of one layer."""

    def __init__(self, sizes: Vision, *, layer: int = -1) -> None:
        """Args:
        sizes: of the network.
        layer: -1 is the output of the last layer, -2 that of the layer before it.
        """
        super().__init__()
        self.embeddings = Embeddings(sizes)
        layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layers": layers})
        self.run = sizes.num_hidden_layers + 1 + layer

    @property
    def layers(self) -> nn.ModuleList:
        found = self.encoder["layers"]
        assert isinstance(found, nn.ModuleList)
        return found

    def forward(self, pixels: Tensor) -> Tensor:
        """Patch features (n, g, g, d) of normalised images (n, 3, side, side)."""
        tokens: Tensor = self.embeddings(pixels)
        for layer in self.layers[: self.run]:
            tokens = layer(tokens)
        side = int((tokens.shape[1] - 1) ** 0.5)
        grid: Tensor = tokens[:, 1:].unflatten(1, (side, side))
        return grid


def projector(layout: Layout, width: int) -> nn.Sequential:
    """From folded patches to tokens of the language model."""
    inside = layout.vision_config.hidden_size * _fold(layout) ** 2
    return nn.Sequential(nn.LayerNorm(inside), nn.Linear(inside, width), nn.GELU(), nn.Linear(width, width))


def fold(grid: Tensor, layout: Layout) -> Tensor:
    """Neighbouring patches (n, g, g, d) put into one: (n, tokens, d * r * r)."""
    r = _fold(layout)
    blocks = grid.unflatten(2, (-1, r)).unflatten(1, (-1, r)).transpose(2, 3)  # n, rows, columns, r, r, d
    if layout.ps_version == "v1":  # its authors call it a mistake: rows and columns are swapped
        blocks = blocks.transpose(1, 2)
    folded: Tensor = blocks.flatten(3).flatten(1, 2)
    return folded


def _fold(layout: Layout) -> int:
    return round(1 / layout.downsample_ratio)
