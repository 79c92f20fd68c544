"""Adapters between vision and language, both ways."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from grounding_core.interfaces.component import Configured
from grounding_core.interfaces.specs import DecoderSpec, EncoderSpec


class VisionAdapter(nn.Module, Configured):
    """Vision features to language tokens (V→L).

    Construct with ``(config, *, source: EncoderSpec, width: int)``: widths come from the neighbours.
    """

    needs_grid: bool = False
    """True if the source must have a patch grid."""

    def __init__(self, config: Any, *, source: EncoderSpec, width: int) -> None:
        super().__init__()

    @classmethod
    @abstractmethod
    def num_tokens(cls, config: Any, source: EncoderSpec, frames: int) -> int:
        """m for so many frames into the encoder; a GroundingError if the adapter does not fit behind it."""

    @classmethod
    def grid(cls, config: Any, source: EncoderSpec) -> tuple[int, int] | None:
        """Rows and columns of a frame's tokens where each stands for a place of the picture; else None."""
        return None

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Features (b, t, n, dv) -> tokens (b, m, dl), frame after frame."""


class PromptAdapter(nn.Module, Configured):
    """Language states to mask prompts (L→V).

    Construct with ``(config, *, width: int, target: DecoderSpec)``.
    """

    sees_frames: bool = False
    """True if it is called as ``forward(states, frames)``, with the visual tokens (k, m, dl) that the
    language model read of each object's video; m is 0 in training without video."""

    def __init__(self, config: Any, *, width: int, target: DecoderSpec) -> None:
        super().__init__()

    @classmethod
    def check(cls, config: Any, *, width: int, target: DecoderSpec) -> None:
        """Raise a GroundingError if the adapter can't stand between these widths; most can always."""

    @abstractmethod
    def forward(self, states: Tensor) -> Tensor:
        """States (k, dl) -> prompts (k, p, dp)."""
