"""Attention of queries to something else, which resamplers and prompt adapters share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Pre-norm attention of queries (b, q, d) to keys (b, k, c); what it finds is added by the caller."""

    def __init__(self, width: int, source: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.shape = (heads, head_width)
        self.norm_queries = nn.LayerNorm(width)
        self.norm_keys = nn.LayerNorm(source)
        self.queries = nn.Linear(width, heads * head_width, bias=False)
        self.keys_values = nn.Linear(source, 2 * heads * head_width, bias=False)
        self.out = nn.Linear(heads * head_width, width, bias=False)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        q = self.queries(self.norm_queries(queries)).unflatten(-1, self.shape).transpose(1, 2)
        pairs = self.keys_values(self.norm_keys(keys)).chunk(2, dim=-1)
        k, v = (part.unflatten(-1, self.shape).transpose(1, 2) for part in pairs)
        found: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return found


def feed_forward(width: int) -> nn.Sequential:
    """Pre-norm MLP of four times the width."""
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
    )


def places(count: int, width: int, like: Tensor) -> Tensor:
    """Sines and cosines (count, width) of positions (arXiv 1706.03762, section 3.5), for any count."""
    half = -(-width // 2)
    rates = torch.exp(torch.arange(half, device=like.device) * (-torch.log(torch.tensor(10000.0)) / half))
    angles = torch.arange(count, device=like.device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width].to(like.dtype)
