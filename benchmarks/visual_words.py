"""A composed model as image–text component: its visual tokens against its own embeddings of words.

Where adapters were trained to give tokens that its language model can read (the objective ``aligned`` does so
outright), a token of a place is near the embeddings of the words for what is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from benchmarks.image_text import Sight, content_words
from grounding_core.errors import GroundingError
from grounding_core.interfaces.component import ComponentConfig, Configured
from grounding_core.model import GroundingModel

AT_ONCE = 8
"""Sights that are encoded together."""
LATELY = 64
"""Sights whose features are kept."""


class VisualWordsConfig(ComponentConfig):
    """Whose tokens and embeddings."""

    recipe: str = Field(
        default="videoglamm-tiny", description="A recipe of parts: an installed one, a path or a hub id."
    )


class VisualWords(Configured):
    """The mean cosine of a phrase's words with the tokens where the object is; no answer is generated."""

    Config = VisualWordsConfig

    def __init__(self, config: VisualWordsConfig) -> None:
        self._recipe = config.recipe
        self._loaded: GroundingModel | None = None
        self._words: dict[str, Tensor] = {}
        self._looked: dict[bytes, Tensor] = {}

    def similarity(self, sights: Sequence[Sight], words: Sequence[str]) -> npt.NDArray[np.float64]:
        """See `benchmarks.image_text.ImageText`.

        Raises:
            GroundingError: the recipe is a whole model, or its tokens stand for no places.
        """
        found = np.full((len(sights), len(words)), np.nan)
        phrases = [[self._word(word) for word in content_words(text)] for text in words]
        for start in range(0, len(sights) if words else 0, AT_ONCE):
            seen = self._kept(sights[start : start + AT_ONCE])
            for column, phrase in enumerate(phrases):
                if phrase:
                    means = (seen @ torch.stack(phrase).T).mean(1)
                    found[start : start + AT_ONCE, column] = means.double().cpu().numpy()
        return found

    @property
    def _model(self) -> GroundingModel:
        self._loaded = self._loaded or GroundingModel.from_pretrained(self._recipe)
        return self._loaded

    def _kept(self, sights: Sequence[Sight]) -> Tensor:
        """(s, dl) as `_seen`; a sight that was looked at lately is not encoded again."""
        keys = [blake2b(sight.frame.tobytes() + sight.mask.tobytes()).digest() for sight in sights]
        new = {key: sight for key, sight in zip(keys, sights, strict=True) if key not in self._looked}
        if len(self._looked) > LATELY:
            self._looked = {key: self._looked[key] for key in keys if key in self._looked}
        if new:
            self._looked |= dict(zip(new, self._seen(list(new.values())), strict=True))
        return torch.stack([self._looked[key] for key in keys])

    @torch.inference_mode()
    def _seen(self, sights: Sequence[Sight]) -> Tensor:
        """(s, dl): what each object's places look like, each token of length 1."""
        model = self._model
        frames = model.sampling.frames
        clips = [torch.from_numpy(np.repeat(sight.frame[None], frames, axis=0)) for sight in sights]
        tokens = F.normalize(model.visual_tokens(clips).float(), dim=-1)
        blocks, start = [], 0
        for length, grid in self._grids():
            part, start = tokens[:, start : start + length], start + length
            if grid is not None:
                cover = torch.stack([_cover(sight.mask, grid) for sight in sights]).to(tokens.device)
                places = part.reshape(len(sights), -1, cover.shape[1], part.shape[-1])
                blocks.append(torch.einsum("stpd,sp->sd", places, cover) / places.shape[1])
        if not blocks:
            raise GroundingError(
                f"The visual tokens of {self._recipe} stand for no places.",
                "Name a recipe whose adapters keep the grid.",
            )
        return torch.stack(blocks).mean(0)

    def _grids(self) -> Iterator[tuple[int, tuple[int, int] | None]]:
        """For each run of visual tokens, how many they are and the grid of their places."""
        plan = self._model.plan
        grids = {}
        for branch in plan.visual_tokens:
            part = plan.parts[f"{branch}_adapter"]
            component: Any = part.component
            grids[branch] = component.grid(part.config, plan.specs[f"{branch}_encoder"])
        if self._model.sampling.fusion == "add":  # place by place, so both grids are the same
            yield plan.visual_length, next(iter(grids.values()))
        else:
            yield from ((length, grids[branch]) for branch, length in plan.visual_tokens.items())

    @torch.inference_mode()
    def _word(self, word: str) -> Tensor:
        """A word's embedding (dl,) of length 1: the mean of its pieces."""
        if word not in self._words:
            language = self._model.language_model
            pieces = language.embeddings()[language.tokenize(f" {word}")]
            self._words[word] = F.normalize(pieces.float().mean(0), dim=0)
        return self._words[word]


def _cover(mask: npt.NDArray[np.bool_], grid: tuple[int, int]) -> Tensor:
    """Share (p,) of an object that is in each place; adds up to 1."""
    pooled = F.adaptive_avg_pool2d(torch.from_numpy(mask)[None].float(), grid).flatten()
    return pooled / pooled.sum().clamp(min=1e-6)
