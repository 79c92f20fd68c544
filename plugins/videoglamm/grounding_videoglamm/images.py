"""Frames to pixel values as InternVideo2 and SAM 2 want them; CLIP's way is `grounding_core.pixels`."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from grounding_core.pixels import IMAGENET_MEAN, IMAGENET_STD, normalise, resize_pil


def squash(frames: Tensor, size: int) -> Tensor:
    """InternVideo2's processor: uint8 frames (t, H, W, 3) stretched to a square as OpenCV does it.

    Bilinear without antialiasing in OpenCV's fixed-point arithmetic, so that the result is the same uint8
    to the last bit: weights of 11 bits, columns before rows, 4 bits dropped between them.
    """
    height, width = frames.shape[1:3]
    if (height, width) == (size, size):
        return frames
    left, right, first, second = _neighbours(width, size, frames.device)
    outside = (left == right)[:, None]  # a column beyond the border is the border's, undivided
    first, second = first[:, None].masked_fill(outside, _ONE), second[:, None].masked_fill(outside, 0)
    wide = frames.to(torch.int32)
    rows = (wide[:, :, left] * first + wide[:, :, right] * second) >> 4
    upper, lower, first, second = _neighbours(height, size, frames.device)
    above = (rows[:, upper] * first[:, None, None]) >> 16
    below = (rows[:, lower] * second[:, None, None]) >> 16
    return ((above + below + 2) >> 2).to(torch.uint8)


_ONE = 2048


def _neighbours(source: int, target: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two source pixels nearest to each target pixel (equal beyond a border), and their weights."""
    place = (torch.arange(target, dtype=torch.float64) + 0.5) * (1 / (target / source)) - 0.5
    place = place.to(torch.float32)
    low = place.floor()
    index = low.long()
    first, second = (((weight * _ONE).round()).int() for weight in (1 - (place - low), place - low))
    low_index, high_index = index.clamp(0, source - 1), (index + 1).clamp(0, source - 1)
    return low_index.to(device), high_index.to(device), first.to(device), second.to(device)


def long_side(frames: Tensor, size: int) -> Tensor:
    """uint8 frames (t, H, W, 3) with the longer side resized to ``size``, aspect kept, as PIL does it."""
    height, width = frames.shape[1:3]
    scale = size / max(height, width)
    target = (max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5)))
    return resize_pil(frames, target, Image.Resampling.BILINEAR)


def long_side_stretch(frames: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """SAM 2's input: longer side to ``size`` with PIL, normalise, then a bilinear stretch to a square."""
    resized = long_side(frames, size)
    values = normalise(resized, IMAGENET_MEAN, IMAGENET_STD, torch.float32)
    if tuple(resized.shape[1:3]) != (size, size):
        values = F.interpolate(values, size=(size, size), mode="bilinear", align_corners=False)
    return values.to(dtype)
