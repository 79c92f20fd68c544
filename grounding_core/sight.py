"""What the tokens of questions that decode together may look at, as masks added to attention scores."""

from __future__ import annotations

from collections.abc import Set

import torch
from torch import Tensor

PADDING = -1
"""Position of a token that only fills a row."""

FULL, SLIDING = "full_attention", "sliding_attention"
"""What transformers calls its kinds of layers."""

Mask = Tensor | dict[str, Tensor]
"""(n, 1, q, keys); where only some layers slide (Gemma 3), one a kind of layer."""


class Sight:
    """Positions and masks of n rows: a shared prefix, a question padded on the left, then an answer.

    All positions are known before the first token is, and so is what an answer's token sees where no layer
    slides: its mask is a part of one that is made once. A window counts positions, while transformers' own
    masks would count padding too.

    Attributes:
        positions: (n, s + more) of the tokens of questions and answers.
    """

    def __init__(
        self,
        past: int,
        real: Tensor,
        more: int,
        *,
        dtype: torch.dtype,
        window: int | None,
        kinds: Set[str],
        own_only: bool,
    ) -> None:
        """Args:
        past: tokens of the prefix.
        real: (n, s) 1 on a question's tokens, 0 on padding.
        more: tokens of the answers.
        dtype: of the scores.
        window: how far sliding layers look; None: none slides.
        kinds: of the layers, if the network names them.
        own_only: leave the prefix out of the masks: all of it is seen by all.
        """
        n, device = len(real), real.device
        asked = past + (real.cumsum(1) - 1).clamp(min=0)
        told = asked[:, -1:] + torch.arange(1, more + 1, device=device)
        self.positions = torch.cat([asked, told], 1)
        shown = 0 if own_only else past
        self._places = torch.cat(
            [
                torch.arange(shown, device=device).expand(n, -1),
                torch.where(real > 0, asked, PADDING),
                told,
            ],
            1,
        )
        self._shown, self._dtype, self._window, self._kinds = shown, dtype, window, kinds
        self._told = self._additive((self._places != PADDING)[:, None])

    def mask(self, first: int, last: int) -> Mask:
        """For the tokens [first, last) of every row, of keys up to the last of them."""
        end = self._shown + last
        if self._window is None and last == first + 1:
            return self._told[..., :end]
        places = self._places[:, :end]
        behind = self.positions[:, first:last, None] - places[:, None, :]
        seen = (places != PADDING)[:, None] & (behind >= 0)
        if self._window is None:
            return self._additive(seen)
        sliding = self._additive(seen & (behind < self._window))
        return {FULL: self._additive(seen), SLIDING: sliding} if FULL in self._kinds else sliding

    def _additive(self, seen: Tensor) -> Tensor:
        """(n, q, keys) True where a token looks -> (n, 1, q, keys) to be added to attention scores."""
        blocked = torch.zeros(seen.shape, dtype=self._dtype, device=seen.device)
        return blocked.masked_fill(~seen, torch.finfo(self._dtype).min)[:, None]
