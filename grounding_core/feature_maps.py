"""Image encoders over towers that turn a square image into one map of patch features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from grounding_core.errors import CheckpointError
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.encoders import ImageEncoder
from grounding_core.interfaces.specs import EncoderSpec
from grounding_core.pixels import Fit, Triple, squares


class FeatureMapConfig(ComponentConfig):
    """What towers of all families have in common."""

    image_size: int | None = Field(
        default=None, ge=1, description="Side of the square input in pixels; null: the tower's own."
    )
    fit: Fit = Field(
        default="stretch",
        description="How a frame becomes a square: `stretch` all of it, or `crop` its centre as CLIP does.",
    )
    layer: int = Field(
        default=-1, le=-1, description="Which layer's output is read, counted from the end; -1: the last."
    )


class FeatureMapEncoder(ImageEncoder):
    """Subclasses load a tower, set the attributes, and say how it is run.

    The spec is read off an empty tower on PyTorch's meta device, so no architecture has to be known here.

    Attributes:
        size: side of the square input in pixels.
        fit: as in `FeatureMapConfig`.
        mean, std: of the channels, for pixels 0..1.
    """

    size: int
    fit: Fit
    mean: Triple
    std: Triple

    @abstractmethod
    def maps(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (t, 3, size, size) -> features (t, dv, rows, columns)."""

    @classmethod
    def spec(cls, config: Any) -> EncoderSpec:
        with torch.device("meta"), torch.no_grad():
            encoder = cls(config)  # type: ignore[call-arg]  # subclasses take their config
            # Two: some towers make one sequence of all images.
            maps = tried(encoder.maps, torch.zeros(2, 3, encoder.size, encoder.size))
        _, width, rows, columns = maps.shape
        return EncoderSpec(width=width, tokens=rows * columns, grid=(rows, columns))

    def forward(self, clips: Sequence[Tensor]) -> Tensor:
        weight = next(self.parameters())
        pixels = squares(clips, self.size, self.fit, self.mean, self.std, weight)
        features: Tensor = self.maps(pixels.flatten(0, 1)).flatten(2).transpose(1, 2)
        return features.view(*pixels.shape[:2], *features.shape[1:])


def tried(run: Any, pixels: Tensor) -> Tensor:
    """The features of a tower that may not take pixels of this shape (..., size, size).

    Raises:
        CheckpointError: it does not.
    """
    try:
        features: Tensor = run(pixels)
    except (ValueError, RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"The tower makes no features of {pixels.shape[-2]} x {pixels.shape[-1]} pixels: {reason}",
            "Leave image_size out, choose a multiple of the patch size, or change what it speaks of.",
        ) from error
    return features
