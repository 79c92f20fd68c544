"""Boxes as prompts: what a mask decoder may also offer, so that boxes become masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from grounding_core.interfaces.dataset import Box


@runtime_checkable
class BoxPrompts(Protocol):
    """A `grounding_core.interfaces.mask_decoder.MaskDecoder` that also takes boxes."""

    def track_boxes(self, scene: Any, boxes: Sequence[Mapping[int, Box]]) -> Iterator[Tensor]:
        """Logits (k, H, W) of each frame in order, at the frame's own size; masks are logits > 0.

        Args:
            scene: from `MaskDecoder.open`.
            boxes: for each of k objects, frame -> box (x0, y0, x1, y1) in pixels, edges exclusive. In frames
                without a box an object has no mask: all its logits are below 0.

        Memory does not grow with the number of frames.
        """
