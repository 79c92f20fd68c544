"""Frames as Sa2VA's published code prepares them."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from grounding_core.interfaces.frame_selector import FrameSelector
from grounding_core.pixels import IMAGENET_MEAN, IMAGENET_STD, normalise, resize_pil
from grounding_core.types import Query
from grounding_core.video import Video

MEAN, STD = (tuple(torch.tensor(v).bfloat16().tolist()) for v in (IMAGENET_MEAN, IMAGENET_STD))
"""For SAM 2: the published code rounds them."""


class First(FrameSelector):
    """The first frames; of a shorter video all, none of them twice."""

    def select(self, video: Video, query: Query | None, count: int) -> list[int]:
        return list(range(min(len(video), count)))


def for_vision(frames: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Pixel values (t, 3, size, size) of uint8 frames (t, H, W, 3), stretched to squares."""
    return normalise(_stretch(frames, (size, size)), IMAGENET_MEAN, IMAGENET_STD, dtype)


def _stretch(frames: Tensor, size: tuple[int, int]) -> Tensor:
    return resize_pil(frames, size, Image.Resampling.BICUBIC)


def tiles(image: Tensor, size: int, most: int) -> Tensor:
    """An image cut into squares, and the whole of it behind them: uint8 (H, W, 3) to (n, size, size, 3).

    Of all grids of up to ``most`` squares the one whose shape is nearest to the image's is taken; of grids
    equally near, a larger one if the image has more than half of its pixels (InternVL 1.5, arXiv 2404.16821).
    """
    height, width = image.shape[:2]
    sides = range(1, most + 1)
    grids = sorted(((c, r) for c in sides for r in sides if c * r <= most), key=lambda g: g[0] * g[1])
    best, least = (1, 1), float("inf")
    for columns, rows in grids:
        off = abs(width / height - columns / rows)
        if off < least or (off == least and width * height > 0.5 * size**2 * columns * rows):
            best, least = (columns, rows), off
    columns, rows = best
    whole = _stretch(image[None], (size, size))
    if columns * rows == 1:
        return whole
    large = _stretch(image[None], (size * rows, size * columns))[0]
    cut = large.unflatten(0, (rows, size)).unflatten(2, (columns, size)).transpose(1, 2).flatten(0, 1)
    return torch.cat([cut, whole])
