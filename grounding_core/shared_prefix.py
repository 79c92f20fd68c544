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
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, Cache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "grounding_shared_prefix"
"""Of the attention function among transformers' own."""

ROOM = 64
"""Tokens that a row makes room for at once."""


class Arrival:
    """Whether what a layer's cache gave out last has come to `attend`."""

    came = True


class Followed(NamedTuple):
    """Keys and values (b, heads, m, d) of b prefixes, and how many rows follow each, in order."""

    keys: Tensor
    values: Tensor
    counts: tuple[int, ...]
    arrival: Arrival


class FollowingLayer(DynamicLayer):
    """One layer's cache of rows that follow prefixes."""

    def __init__(self) -> None:
        super().__init__()
        self.arrival = Arrival()

    def marked(
        self, keys: Any, values: Any, prefix: tuple[Tensor, Tensor], counts: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """The rows' own keys and values, both marked with the prefixes' for `attend`."""
        self.arrival.came = False
        keys.shared_prefix = values.shared_prefix = Followed(*prefix, counts, self.arrival)
        return keys, values


class SharedLayer(FollowingLayer):
    """One layer's cache: a prefix (1, heads, m, d) that rows share, and what is their own."""

    def __init__(self, prefix_keys: Tensor, prefix_values: Tensor) -> None:
        super().__init__()
        self.prefix = prefix_keys, prefix_values
        self.length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """See `transformers.cache_utils.DynamicLayer`; writes in place, grows by whole blocks."""
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
        own = self.keys[:, :, :end], self.values[:, :, :end]
        return self.marked(*own, self.prefix, (len(key_states),))

    def get_seq_length(self) -> int:
        """Tokens a row has seen, the prefix's included."""
        return int(self.prefix[0].shape[-2]) + self.length


class TaughtLayer(FollowingLayer):
    """One layer's cache for answers that are read once, whole: b prefixes and how many rows follow each.

    Its keys and values stay the prefixes'.
    """

    def __init__(self, prefix_keys: Tensor, prefix_values: Tensor, counts: tuple[int, ...]) -> None:
        super().__init__()
        self.lazy_initialization(prefix_keys, prefix_values)
        self.keys, self.values = prefix_keys, prefix_values
        self.counts = counts

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """See `transformers.cache_utils.DynamicLayer`; the rows' keys are given back, not kept."""
        return self.marked(key_states, value_states, (self.keys, self.values), self.counts)


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


def all_came(cache: Cache) -> bool:
    """Whether what layers of followed prefixes gave out last came to `attend`, marks and all."""
    return all(layer.arrival.came for layer in cache.layers if isinstance(layer, FollowingLayer))


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention to a shared prefix and to a row's own keys; without a prefix, PyTorch's own.

    Args:
        module: a layer's attention.
        query: (n, heads, q, d).
        key: (n, key heads, s, d), marked by a `FollowingLayer`.
        value: likewise.
        attention_mask: added to the scores; with a prefix of m tokens (n, 1, q, m + s), or (n, 1, q, s)
            where all of the prefix is seen; with several prefixes (1, 1, q, s).
        options: ``scaling`` and what transformers passes besides.

    Returns:
        (n, q, heads, d), and no weights.
    """
    prefix = _mark(key, value)
    if prefix is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return found
    assert attention_mask is not None
    prefix.arrival.came = True
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


def _mark(key: Tensor, value: Tensor) -> Followed | None:
    """The prefixes that both are marked with; None if one was made anew since the cache gave it out."""
    mark: Followed | None = getattr(key, "shared_prefix", None)
    return mark if mark is getattr(value, "shared_prefix", None) else None


def _together(
    query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scaling: float
) -> Tensor:
    """Rows (n, ...) that follow one prefix (key heads, m, d): what `attend` returns of them."""
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


class _Seen(Exception):
    """What the first attention of a decoder was called with."""

    def __init__(self, marked: bool) -> None:
        super().__init__()
        self.marked = marked


def _look(module: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
    raise _Seen(_mark(key, value) is not None)


def passes_marks(network: Any, argument: str) -> bool:
    """Whether a network's attention gets keys and values as the cache gives them out.

    Attention that makes them anew behind the cache (latent keys that are expanded, heads that are repeated)
    does not know of a shared prefix. Computes one token as far as the first layer's attention.

    Args:
        network: a ``*ForCausalLM``; its weights may be empty.
        argument: by which its decoder takes the cache.
    """
    decoder, config = network.get_decoder(), network.get_decoder().config
    own = network.config._attn_implementation
    weight = network.get_input_embeddings().weight
    held = {**dict(decoder.named_parameters()), **dict(decoder.named_buffers())}
    # Zeros without memory stand in for empty weights.
    filled = {
        name: torch.zeros((), dtype=part.dtype, device="cpu").expand(part.shape)
        for name, part in held.items()
        if part.is_meta
    }
    place = torch.device("cpu") if weight.is_meta else weight.device
    empty = torch.empty(1, 1, 1, 1, device=place)
    layers = [SharedLayer(empty, empty) for _ in range(config.num_hidden_layers)]
    network.set_attn_implementation(_LOOK)
    try:
        with torch.no_grad():
            functional_call(
                decoder,
                filled,
                kwargs={
                    "inputs_embeds": torch.zeros(1, 1, weight.shape[1], dtype=weight.dtype, device=place),
                    "position_ids": torch.ones(1, 1, dtype=torch.long, device=place),
                    "use_cache": True,
                    argument: Cache(layers=layers),
                },
            )
    except _Seen as seen:
        return seen.marked
    except Exception:  # noqa: BLE001 - a cache that every row has a copy of needs no marks
        return False
    finally:
        network.set_attn_implementation(own)
    return False


_LOOK = f"{NAME}_look"

for _name, _function in {NAME: attend, _LOOK: _look}.items():
    AttentionInterface.register(_name, _function)
    AttentionMaskInterface.register(_name, sdpa_mask)
