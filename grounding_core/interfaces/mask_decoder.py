"""Mask decoders: prompts in, masks of every frame out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor, nn

from grounding_core.interfaces.component import Configured
from grounding_core.interfaces.specs import DecoderSpec
from grounding_core.video import Video


class MaskDecoder(nn.Module, Configured):
    """Construct with the validated config alone.

    Class attributes:
        has_image_map: whether `image_map` gives features.
    """

    has_image_map: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def spec(cls, config: Any) -> DecoderSpec:
        """Shapes, without loading weights."""

    @abstractmethod
    def open(self, video: Video) -> Any:
        """A scene: what all questions about a video share. Features are computed on first use, kept up
        to the configured budget and computed again beyond it."""

    @abstractmethod
    def track(self, scene: Any, prompts: Tensor) -> Iterator[Tensor]:
        """Logits (k, H, W) of each frame in order, at the frame's own size; masks are logits > 0.

        Args:
            scene: from `open`.
            prompts: (k, p, dp) with k >= 1.

        Memory does not grow with the number of frames.
        """

    @abstractmethod
    def forward(self, frames: Tensor, prompts: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Masks for training.

        Args:
            frames: uint8 (b, t, H, W, 3).
            prompts: (k, p, dp).
            owner: (k,) index of the video each prompt belongs to.

        Returns:
            logits (k, t, h, w) at the decoder's own size, and visibility logits (k, t).
        """

    def image_map(self, frames: Tensor) -> Tensor:
        """Image features (t, dp, h, w) of uint8 frames (t, H, W, 3), for teaching what is at each place.

        Raises:
            NotImplementedError: this decoder has none; ``has_image_map`` says so.
        """
        raise NotImplementedError
