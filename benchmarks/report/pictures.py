"""Small pictures of answers and truth, as data URIs for a page that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText

FRAMES = 3
WIDTH = 240
PALETTE = ((255, 122, 24), (0, 158, 220), (226, 61, 128), (98, 176, 36), (150, 94, 222), (208, 160, 0))
"""RGB, one an object; the page colours phrases alike."""

Boxes = Mapping[int, tuple[float, float, float, float]]


@dataclass(frozen=True)
class Strip:
    """The same frames twice: with the truth and with the answer drawn in.

    Attributes:
        indices: which frames.
        truth, answer: JPEG data URIs, one a frame.
        length: number of frames of the video.
    """

    indices: tuple[int, ...]
    truth: tuple[str, ...]
    answer: tuple[str, ...]
    length: int


def strip(sample: Sample, truth: Truth, answer: GroundedText | None) -> Strip:
    """Draw a sample at frames spread over those where its truth is visible."""
    video = sample.open_video()
    shown = _frames(truth, len(video))
    pixels = video.frames(shown)
    tracks = () if answer is None else answer.tracks
    fitting = [t for t in tracks if t.size == video.size and len(t) == len(video)]
    return Strip(
        tuple(shown),
        tuple(draw(p, i, truth.tracks, truth.boxes) for p, i in zip(pixels, shown, strict=True)),
        tuple(draw(p, i, fitting, {}) for p, i in zip(pixels, shown, strict=True)),
        len(video),
    )


def _frames(truth: Truth, length: int) -> list[int]:
    visible = {frame for track in truth.tracks for frame in track.visible()} | set(truth.boxes)
    if truth.annotated is not None:
        visible &= set(truth.annotated)
    candidates = sorted(frame for frame in visible if frame < length) or list(range(length))
    places = [(2 * k + 1) * len(candidates) // (2 * FRAMES) for k in range(FRAMES)]
    return sorted({candidates[min(place, len(candidates) - 1)] for place in places})


def draw(frame: npt.NDArray[np.uint8], index: int, tracks: Sequence[MaskTrack], boxes: Boxes) -> str:
    """One frame (H, W, 3) with masks and box drawn in, small, as a JPEG data URI."""
    height, width = frame.shape[:2]
    scale = WIDTH / width
    size = (WIDTH, max(round(height * scale), 1))
    picture = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC), dtype=np.float64)
    # Muted, so that the masks stand out on any content.
    picture = 0.72 * picture + 0.28 * picture.mean(axis=-1, keepdims=True)
    for place, track in enumerate(tracks):
        if track.frames[index] is None:
            continue
        mask = Image.fromarray(track.mask(index).astype(np.uint8) * 255)
        inside = np.asarray(mask.resize(size, Image.Resampling.BILINEAR)) > 127
        colour = np.array(PALETTE[place % len(PALETTE)], dtype=np.float64)
        picture[inside] = 0.45 * picture[inside] + 0.55 * colour
        picture[_outline(inside)] = 255.0
    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    if index in boxes:
        ImageDraw.Draw(image).rectangle([side * scale for side in boxes[index]], outline=PALETTE[0], width=3)
    return _jpeg(image)


def _outline(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels of the mask within two of its border."""
    inner = mask.copy()
    for _ in range(2):
        shrunk = inner.copy()
        shrunk[1:] &= inner[:-1]
        shrunk[:-1] &= inner[1:]
        shrunk[:, 1:] &= inner[:, :-1]
        shrunk[:, :-1] &= inner[:, 1:]
        inner = shrunk
    return np.asarray(mask & ~inner)


def _jpeg(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
