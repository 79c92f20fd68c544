"""Boxes, points and masks in one frame as prompts: what a decoder that tracks may also offer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from grounding_core.errors import QueryError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SpatialPrompts:
    """What points at k objects in one frame: boxes, points, both, or masks alone.

    Attributes:
        boxes: (k, 4) corners x0, y0, x1, y1 in pixels, edges exclusive.
        points: (k, n, 3) x, y in pixels, and 1 inside the object or 0 outside of it.
        masks: bool (k, H, W) at the frame's size.

    Raises:
        QueryError: nothing is given, masks come with something else, or shapes do not fit.
    """

    boxes: npt.NDArray[np.floating[Any]] | None = None
    points: npt.NDArray[np.floating[Any]] | None = None
    masks: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        given = {name: part for name, part in vars(self).items() if part is not None}
        shapes = ", ".join(f"{name} {part.shape}" for name, part in given.items()) or "nothing"
        fits = {"boxes": (2, 4), "points": (3, 3), "masks": (3, None)}
        for name, part in given.items():
            rank, last = fits[name]
            if part.ndim != rank or (last is not None and part.shape[-1] != last):
                raise QueryError(f"Prompts of shape {shapes} are impossible.", "See SpatialPrompts.")
        if (
            not given
            or (self.masks is not None and len(given) > 1)
            or len({len(p) for p in given.values()}) > 1
        ):
            raise QueryError(
                f"Objects can't be prompted by {shapes}.",
                "Give boxes, points, or both for the same objects; or masks alone.",
            )

    def __len__(self) -> int:
        """k, how many objects."""
        return next(len(part) for part in (self.boxes, self.points, self.masks) if part is not None)


@runtime_checkable
class Propagation(Protocol):
    """A `grounding_core.interfaces.mask_decoder.MaskDecoder` that is pointed at objects in one frame
    and finds them in all."""

    def propagate(self, scene: Any, prompts: SpatialPrompts, frame: int = 0) -> Iterator[tuple[int, Tensor]]:
        """(index, logits (k, H, W)) of every frame, each once, at the frame's own size; masks are logits > 0.

        They come in the order of tracking: the prompted frame and those after it, then those before it,
        backwards. Memory does not grow with the number of frames.

        Args:
            scene: from `MaskDecoder.open`.
            prompts: of k >= 1 objects.
            frame: the frame they are in.
        """
