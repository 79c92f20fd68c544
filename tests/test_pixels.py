"""Frames to pixel values, held against the image processors of transformers."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Sam2ImageProcessor, SiglipImageProcessor

from grounding_core.pixels import IMAGENET_MEAN, IMAGENET_STD, normalise, resize, resize_pil, stretch

HALF = (0.5, 0.5, 0.5)


@pytest.fixture(params=[(90, 160), (160, 90), (50, 40)])
def frames(request: pytest.FixtureRequest) -> torch.Tensor:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (2, 9, 7, 3), dtype=np.uint8)
    size = request.param[::-1]
    whole = [np.asarray(Image.fromarray(picture).resize(size)) for picture in coarse]
    return torch.from_numpy(np.stack(whole) ^ rng.integers(0, 16, (2, *request.param, 3), dtype=np.uint8))


def test_stretched_as_siglip_wants_it(frames: torch.Tensor) -> None:
    processor = SiglipImageProcessor(size={"height": 64, "width": 64})
    expected = processor(images=list(frames.permute(0, 3, 1, 2)), return_tensors="pt")["pixel_values"]
    ours = normalise(stretch(frames, 64), HALF, HALF, torch.float32)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def test_resized_as_sam2_wants_it(frames: torch.Tensor) -> None:
    processor = Sam2ImageProcessor(size={"height": 80, "width": 80})
    expected = processor(images=list(frames.permute(0, 3, 1, 2)), return_tensors="pt")["pixel_values"]
    ours = normalise(resize(frames, (80, 80), "bilinear"), IMAGENET_MEAN, IMAGENET_STD, torch.float32)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def test_a_grey_level_from_pil_at_most(frames: torch.Tensor) -> None:
    ours = resize(frames, (48, 64), "bicubic").int()
    theirs = resize_pil(frames, (48, 64), Image.Resampling.BICUBIC).int()
    off = (ours - theirs).abs()
    assert off.max() <= 1 and (off > 0).float().mean() < 0.01


def test_normalised_value_by_value(frames: torch.Tensor) -> None:
    cut = frames[:, 3:40, 5:33]  # not in one piece of memory
    expected = (cut.permute(0, 3, 1, 2) / 255 - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(
        IMAGENET_STD
    ).view(3, 1, 1)
    assert torch.equal(normalise(cut, IMAGENET_MEAN, IMAGENET_STD, torch.float32), expected)
