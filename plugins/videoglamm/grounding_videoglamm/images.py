"""Frames to pixel values, in the three ways VideoGLaMM's encoders want them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalise(frames: Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype) -> Tensor:
    """Pixels 0..255 (t, H, W, 3) to normalised values (t, 3, H, W)."""
    values = frames.permute(0, 3, 1, 2).to(torch.float32) / 255
    shape = (1, 3, 1, 1)
    values = (values - torch.tensor(mean, device=values.device).view(shape)) / torch.tensor(
        std, device=values.device
    ).view(shape)
    return values.to(dtype)


def resize_pil(frames: Tensor, size: tuple[int, int], resample: Image.Resampling) -> Tensor:
    """PIL's antialiased resize of uint8 frames (t, H, W, 3) to (height, width)."""
    if tuple(frames.shape[1:3]) == size:
        return frames
    resized = [
        np.asarray(Image.fromarray(frame).resize((size[1], size[0]), resample))
        for frame in frames.cpu().numpy()
    ]
    return torch.from_numpy(np.stack(resized)).to(frames.device)


def short_side_crop(frames: Tensor, size: int) -> Tensor:
    """CLIP's processor: bicubic, shorter side to ``size``, centre crop (wide frames lose their sides)."""
    height, width = frames.shape[1:3]
    if height <= width:
        target = (size, max(size, int(size * width / height)))
    else:
        target = (max(size, int(size * height / width)), size)
    resized = resize_pil(frames, target, Image.Resampling.BICUBIC)
    top, left = (target[0] - size) // 2, (target[1] - size) // 2
    return resized[:, top : top + size, left : left + size]


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
