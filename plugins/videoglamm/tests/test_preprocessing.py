"""Frames of odd sizes, portrait included, against the public functions that the reference calls."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from grounding_videoglamm.images import long_side_stretch, squash
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms.functional import resize, to_pil_image
from transformers.models.clip import image_processing_pil_clip

from grounding_core.pixels import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    normalise,
    short_side_crop,
)

SIZES = [(33, 47), (47, 33), (480, 854), (854, 480), (7, 500), (500, 7), (336, 336), (1, 1), (337, 335)]


def frame(size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_clip(size: tuple[int, int]) -> None:
    """transformers' CLIPImageProcessor with the settings of openai/clip-vit-large-patch14-336."""
    processor = image_processing_pil_clip.CLIPImageProcessorPil(
        size={"shortest_edge": 336},
        crop_size={"height": 336, "width": 336},
        resample=Image.Resampling.BICUBIC,
        image_mean=list(CLIP_MEAN),
        image_std=list(CLIP_STD),
    )
    theirs = torch.as_tensor(
        np.asarray(processor(Image.fromarray(frame(size)), return_tensors="np")["pixel_values"][0])
    )
    cropped = short_side_crop(torch.from_numpy(frame(size))[None], 336)
    ours = normalise(cropped, CLIP_MEAN, CLIP_STD, torch.float32)[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_internvideo2(size: tuple[int, int]) -> None:
    """OpenCV's default resize, then normalised in float64 (VideoTrainProcessor.frames2tensor)."""
    resized = cv2.resize(frame(size), (224, 224))
    theirs = (resized / 255.0 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    squashed = squash(torch.from_numpy(frame(size))[None], 224)
    assert np.array_equal(squashed[0].numpy(), resized)
    ours = normalise(squashed, IMAGENET_MEAN, IMAGENET_STD, torch.float32)[0].permute(1, 2, 0)
    torch.testing.assert_close(ours.double(), torch.from_numpy(theirs), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_sam2(size: tuple[int, int]) -> None:
    """torchvision's resize of a PIL image, SAM's mean and spread, then a stretch (sam_transforms.py)."""
    scale = 256 / max(size)
    target = [max(1, int(side * scale + 0.5)) for side in size]
    resized = np.array(resize(to_pil_image(frame(size)), target))
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    values = ((torch.from_numpy(resized) - mean) / std).permute(2, 0, 1)
    theirs = F.interpolate(values[None], (256, 256), mode="bilinear")
    ours = long_side_stretch(torch.from_numpy(frame(size))[None], 256, torch.float32)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)
