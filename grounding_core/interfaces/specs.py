"""What components say of themselves before any weight is read. No torch here.

Letters used in shapes everywhere: b videos, t frames, n tokens a frame, m visual tokens, s sequence,
g generated, k objects, p prompt tokens an object, dv/dl/dp widths of vision, language, prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm


@dataclass(frozen=True)
class EncoderSpec:
    """An image or video encoder.

    Attributes:
        width: dv.
        tokens: n, tokens a frame it gives out.
        grid: (rows, columns) if the tokens of a frame form a patch grid, else None.
        chunk: frames go in as multiples of this.
        stride: t frames in give t / stride out.
    """

    width: int
    tokens: int
    grid: tuple[int, int] | None = None
    chunk: int = 1
    stride: int = 1

    @property
    def multiple(self) -> int:
        """A clip's frames are a multiple of this: whole chunks in, whole features out."""
        return lcm(self.chunk, self.stride)


@dataclass(frozen=True)
class LanguageSpec:
    """A language model: width dl, longest sequence in tokens."""

    width: int
    context: int


@dataclass(frozen=True)
class DecoderSpec:
    """A mask decoder.

    Attributes:
        prompt_width: dp.
        prompt_tokens: p.
        tracks: True if identity is carried over time by memory, False if frames are decoded one by one.
    """

    prompt_width: int
    prompt_tokens: int = 1
    tracks: bool = False
