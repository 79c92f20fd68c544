"""Frames to pixel values, in the ways image processors of published encoders have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

Fit = Literal["stretch", "crop"]
Triple = tuple[float, float, float]

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalise(frames: Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype) -> Tensor:
    """Pixels 0..255 (t, H, W, 3) to normalised values (t, 3, H, W)."""
    t, height, width, _ = frames.shape
    values = frames.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    # A row at a time: vector instructions find three channels at a time too short.
    middle, spread = (torch.tensor(three, device=values.device).repeat(width) for three in (mean, std))
    values.view(t, height, 3 * width).div_(255).sub_(middle).div_(spread)
    return values.permute(0, 3, 1, 2).to(dtype)


def resize(frames: Tensor, size: tuple[int, int], mode: Literal["bilinear", "bicubic"]) -> Tensor:
    """The antialiased resize of transformers' image processors: uint8 frames (t, H, W, 3) to (height, width).

    A tenth of the work of `resize_pil`, and by one grey level another pixel in some thousandths of
    the pixels: not for weights that are held against a pipeline with PIL.
    """
    if tuple(frames.shape[1:3]) == size:
        return frames
    # Where channels come last in memory, PyTorch has vector instructions for bytes; on GPUs it has none.
    pixels = frames.cpu().contiguous().permute(0, 3, 1, 2)
    resized = F.interpolate(pixels, size=size, mode=mode, antialias=True)
    return resized.permute(0, 2, 3, 1).contiguous().to(frames.device)


def resize_pil(frames: Tensor, size: tuple[int, int], resample: Image.Resampling) -> Tensor:
    """PIL's antialiased resize of uint8 frames (t, H, W, 3) to (height, width)."""
    if tuple(frames.shape[1:3]) == size:
        return frames
    resized = [
        np.asarray(Image.fromarray(frame).resize((size[1], size[0]), resample))
        for frame in frames.cpu().numpy()
    ]
    return torch.from_numpy(np.stack(resized)).to(frames.device)


def stretch(frames: Tensor, size: int) -> Tensor:
    """SigLIP's processor: bicubic to a square, so that no part of a wide frame is lost."""
    return resize(frames, (size, size), "bicubic")


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


def squares(clips: Sequence[Tensor], size: int, fit: Fit, mean: Triple, std: Triple, like: Tensor) -> Tensor:
    """Clips as a tower wants them.

    Args:
        clips: b tensors uint8 (t, H, W, 3); t equal for all.
        size: side of the squares.
        fit: `stretch` or `short_side_crop`.
        mean: of the channels, for pixels 0..1.
        std: likewise.
        like: a weight of the tower; gives number type and device.

    Returns:
        (b, t, 3, size, size).
    """
    make = stretch if fit == "stretch" else short_side_crop
    return torch.stack([normalise(make(clip, size).to(like.device), mean, std, like.dtype) for clip in clips])
