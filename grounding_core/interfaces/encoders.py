"""Image and video encoders: frames in, patch features out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from grounding_core.interfaces.component import Configured
from grounding_core.interfaces.specs import EncoderSpec


class FrameEncoder(nn.Module, Configured):
    """Common contract of both encoders; construct with the validated config alone."""

    @classmethod
    @abstractmethod
    def spec(cls, config: Any) -> EncoderSpec:
        """Shapes, from the config (or a hub ``config.json``), without loading weights."""

    @abstractmethod
    def forward(self, clips: Sequence[Tensor]) -> Tensor:
        """Encode clips, preprocessing included.

        Args:
            clips: b tensors uint8 (t, H, W, 3), RGB; t equal for all, H and W may differ.

        Returns:
            Features (b, t / stride, n, dv).
        """


class ImageEncoder(FrameEncoder):
    """Sees each frame by itself."""


class VideoEncoder(FrameEncoder):
    """Sees several frames together; t must be a multiple of ``spec.chunk``."""
