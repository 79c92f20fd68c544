"""Attention of many questions to one prefix: its keys are kept once and read once for all of them.

transformers' own cache holds a copy of the prefix for every row and copies all of it for every token. Here a
row holds the keys of its own question and answer alone; the prefix's are multiplied with the queries of all
rows in one matrix product. The result is the softmax over both, as if they stood in one row. In training
several prefixes, one a video, have rows of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, Cache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "grounding_shared_prefix"
"""Of the attention function among transformers' own."""

ROOM = 64
"""Tokens that a row makes room for at once."""


class Followed(NamedTuple):
    """Keys and values (b, heads, m, d) of b prefixes, and how many rows follow each, in order."""

    keys: Tensor
    values: Tensor
    counts: tuple[int, ...]


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
        own.shared_prefix = Followed(*self.prefix, (len(own),))
        return own, self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Tokens a row has seen, the prefix's included."""
        return int(self.prefix[0].shape[-2]) + self.length


class TaughtLayer(DynamicLayer):
    """One layer's cache for answers that are read once, whole: b prefixes and how many rows follow each.

    Its keys and values stay the prefixes'.
    """

    def __init__(self, prefix_keys: Tensor, prefix_values: Tensor, counts: tuple[int, ...]) -> None:
        super().__init__()
        self.lazy_initialization(prefix_keys, prefix_values)
        self.keys, self.values = prefix_keys, prefix_values
        self.counts = counts

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """See :class:`transformers.cache_utils.DynamicLayer`; the rows' keys are given back, not kept."""
        own: Any = key_states
        own.shared_prefix = Followed(self.keys, self.values, self.counts)
        return own, value_states


def _room(states: Tensor, length: int) -> Tensor:
    """An empty cache for ``length`` tokens and some more."""
    n, heads, _, width = states.shape
    return states.new_empty((n, heads, -(-length // ROOM) * ROOM, width))


def share(cache: Cache) -> Cache:
    """A cache for any number of rows that follow the single row of another, which is not changed."""
    return Cache(layers=[SharedLayer(layer.keys, layer.values) for layer in cache.layers])


def teach(cache: Cache, counts: Sequence[int]) -> Cache:
    """A cache for rows that are read once: the first ``counts[0]`` of them follow its row 0, and so on."""
    return Cache(layers=[TaughtLayer(layer.keys, layer.values, tuple(counts)) for layer in cache.layers])


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention to a shared prefix and to a row's own keys; without a prefix, PyTorch's own.

    Args:
        module: a layer's attention.
        query: (n, heads, q, d).
        key: (n, key heads, s, d), marked by :class:`SharedLayer` or :class:`TaughtLayer`.
        value: likewise.
        attention_mask: added to the scores; with a prefix of m tokens (n, 1, q, m + s), or (n, 1, q, s)
            where all of the prefix is seen; with several prefixes (1, 1, q, s).
        options: ``scaling`` and what transformers passes besides.

    Returns:
        (n, q, heads, d), and no weights.
    """
    prefix: Followed | None = getattr(key, "shared_prefix", None)
    if prefix is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return found
    assert attention_mask is not None
    scaling = options.get("scaling") or query.shape[-1] ** -0.5
    if len(prefix.counts) == 1:
        return _together(query, key, value, prefix.keys[0], prefix.values[0], attention_mask, scaling), None
    own = zip(*(part.split(prefix.counts) for part in (query, key, value)), strict=True)
    mixed = [
        # The scores are as large as the keys that are not copied: the backward pass makes them again.
        checkpoint(_together, *parts, keys, values, attention_mask, scaling, use_reentrant=False)
        for parts, keys, values in zip(own, prefix.keys, prefix.values, strict=True)
        if len(parts[0])
    ]
    return torch.cat(mixed), None


def _together(
    query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scaling: float
) -> Tensor:
    """Rows (n, ...) that follow one prefix (key heads, m, d): what :func:`attend` returns of them."""
    n, heads, q, d = query.shape
    groups, m, s, width = key.shape[1], keys.shape[-2], key.shape[-2], values.shape[-1]
    # (rows, key heads, queries, d): all heads and tokens of a row that look at one key head.
    own = (query * scaling).reshape(n, groups, -1, d)
    # All rows' queries at one key head of the prefix, in one matrix product.
    flat = own.transpose(0, 1).reshape(groups, -1, d)
    past_scores = torch.bmm(flat, keys.transpose(1, 2)).view(groups, n, -1, m)
    own_scores = own @ key.transpose(-1, -2)
    own_scores.view(n, groups, -1, q, s).add_(mask[:, None, :, :, -s:])
    if mask.shape[-1] > s:
        past_scores.view(groups, n, -1, q, m).add_(mask[..., :m])
    scores = torch.cat([past_scores, own_scores.transpose(0, 1)], -1)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    past_mixed = torch.bmm(weights[..., :m].flatten(1, 2), values).view(groups, n, -1, width)
    mixed = past_mixed.transpose(0, 1) + weights[..., m:].transpose(0, 1) @ value
    return mixed.reshape(n, heads, q, width).transpose(1, 2).contiguous()


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
