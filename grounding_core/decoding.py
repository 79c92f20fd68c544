"""Answers token by token: with a cache that grows, or at fixed shapes, which a GPU can record and replay.

A small batch leaves a GPU waiting for Python to ask for each of a token's hundreds of operations. A CUDA
graph holds them all and is asked for once a token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Cache

from grounding_core.shared_prefix import FollowingLayer
from grounding_core.sight import Mask, Sight

Read = Callable[[Any, Tensor, Mask | None, Tensor | None], tuple[Tensor, Tensor]]
"""(cache, ids (n, s), mask, positions) -> final states after the norm, and the chosen ones."""

Step = Callable[[Tensor], tuple[Tensor, Tensor]]
"""The last token of each row (n,) -> the next ones (n,), and the states (n, dl) behind them."""

WARM_UP = 2
"""Runs before a recording, as PyTorch's documentation of CUDA graphs asks for."""


def growing(read: Read, choose: Callable[[Tensor], Tensor], cache: Cache, sight: Sight, first: int) -> Step:
    """Steps whose cache and mask grow by a token each.

    Args:
        read: the language model.
        choose: final states (n, dl) -> tokens (n,).
        cache: of what has been read.
        sight: what the rows look at.
        first: place of the first token to read.
    """
    place = first

    def step(chosen: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal place
        end = place + 1
        final, state = read(cache, chosen[:, None], sight.mask(place, end), sight.positions[:, place:end])
        place = end
        return choose(final[:, -1]), state[:, -1]

    return step


class FixedLayer(FollowingLayer):
    """One layer's cache with room for the whole answer after a prefix that rows share."""

    def __init__(
        self, prefix: tuple[Tensor, Tensor], own: tuple[Tensor, Tensor], room: int, place: Tensor
    ) -> None:
        """Args:
        prefix: keys and values (1, heads, m, d).
        own: of the rows, (n, heads, s, d), which are copied.
        room: tokens a row can have.
        place: (1,), where the next token goes; whoever reads moves it on.
        """
        super().__init__()
        self.lazy_initialization(*own)
        self.prefix = prefix
        self.keys, self.values = (F.pad(part, (0, 0, 0, room - part.shape[2])) for part in own)
        self.place = place

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """See `transformers.cache_utils.DynamicLayer`; writes one token at ``place``."""
        self.keys.index_copy_(2, self.place, key_states)
        self.values.index_copy_(2, self.place, value_states)
        own = self.keys.view_as(self.keys), self.values.view_as(self.values)
        return self.marked(*own, self.prefix, (len(key_states),))


class FixedSteps:
    """Steps that find everything at the same addresses in the same shapes; on a GPU recorded once."""

    def __init__(
        self,
        read: Read,
        choose: Callable[[Tensor], Tensor],
        cache: Cache,
        sight: Sight,
        first: int,
        more: int,
    ) -> None:
        """Args:
        read, choose, sight, first: see `growing`.
        cache: of `grounding_core.shared_prefix.SharedLayer`, which has read the questions.
        more: tokens of the longest answer.
        """
        self._read, self._choose = read, choose
        room = first + more
        self._place = torch.full((1,), first, device=sight.positions.device)
        self._cache = Cache(
            layers=[
                FixedLayer(
                    layer.prefix, (layer.keys[:, :, :first], layer.values[:, :, :first]), room, self._place
                )
                for layer in cache.layers
            ]
        )
        self._first, self._positions = first, sight.positions
        self._masks = _stacked([sight.mask(place, place + 1) for place in range(first, room)])
        self._ids = torch.zeros_like(sight.positions[:, 0])
        self._state = torch.zeros(0)
        self._graph: Any = None

    def __call__(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Step``."""
        self._ids.copy_(chosen)
        if self._graph is None and self._ids.is_cuda:
            self._record()
        if self._graph is None:
            self._compute()
        else:
            self._graph.replay()
        # The next step writes over both.
        return self._ids.clone(), self._state.clone()

    def _compute(self) -> None:
        row = self._place - self._first
        masks = {kind: mask.index_select(0, row)[0] for kind, mask in self._masks.items()}
        positions = self._positions.index_select(1, self._place)
        mask: Mask = masks.get("", masks)
        final, state = self._read(self._cache, self._ids[:, None], mask, positions)
        self._ids.copy_(self._choose(final[:, -1]))
        self._state = state[:, -1]
        self._place += 1

    def _record(self) -> None:
        """Run on a stream of its own until everything is set up, go back, and record."""
        ids, place = self._ids.clone(), self._place.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._compute()
                self._ids.copy_(ids)
                self._place.copy_(place)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._compute()
        self._graph = graph


def _stacked(masks: list[Mask]) -> dict[str, Tensor]:
    """Masks (n, 1, 1, keys) of growing length -> by kind of layer (steps, n, 1, 1, most keys)."""
    kinds = [mask if isinstance(mask, dict) else {"": mask} for mask in masks]
    stacked = {}
    for kind, last in kinds[-1].items():
        hidden = torch.finfo(last.dtype).min
        room = last.shape[-1]
        rows = [F.pad(own[kind], (0, room - own[kind].shape[-1]), value=hidden) for own in kinds]
        stacked[kind] = torch.stack(rows)
    return stacked
