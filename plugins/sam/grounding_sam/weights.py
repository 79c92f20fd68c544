"""What the trackers here have in common: published weights, and frames stretched to a square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from grounding_videoglamm.tracker import Tracker, TrackerConfig
from pydantic import Field
from torch import Tensor

from grounding_core.hub import from_pretrained
from grounding_core.pixels import normalise, resize


class WeightsConfig(TrackerConfig):
    """Weights, which bring their sizes, and how they decode."""

    weights: str = Field(description="Hub id or folder of the video model.")


class PublishedTracker(Tracker):
    """A tracker whose sizes come with its weights.

    Class attributes:
        networks: its configuration and its video model in transformers.
        what: its name in errors.
        mean, std: of its pixel values.
    """

    Config = WeightsConfig
    networks: ClassVar[tuple[type[Any], type[Any]]]
    what: ClassVar[str]
    mean: ClassVar[Sequence[float]]
    std: ClassVar[Sequence[float]]

    def __init__(self, config: WeightsConfig) -> None:
        load = self.networks[1].from_pretrained
        super().__init__(config, from_pretrained(load, config.weights, what=self.what))

    @classmethod
    def network_config(cls, config: WeightsConfig) -> Any:
        found = from_pretrained(cls.networks[0].from_pretrained, config.weights, what=cls.what)
        return getattr(found, "tracker_config", None) or found  # SAM 3 comes with a detector around it

    def pixels(self, frames: Tensor, dtype: torch.dtype) -> Tensor:
        square = resize(frames, (self.size, self.size), "bilinear")
        return normalise(square, self.mean, self.std, dtype)
