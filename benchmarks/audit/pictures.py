"""Small pictures of truth, as data URIs for a page that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import ImageDraw

from grounding_core import drawing
from grounding_core.masks import MaskTrack

WIDTH = 240

Boxes = Mapping[int, tuple[float, float, float, float]]


def draw(frame: npt.NDArray[np.uint8], index: int, tracks: Sequence[MaskTrack], boxes: Boxes) -> str:
    """One frame (H, W, 3) with masks and box drawn in, small, as a JPEG data URI."""
    height, width = frame.shape[:2]
    scale = WIDTH / width
    image = drawing.draw_tracks(frame, tracks, index, (max(round(height * scale), 1), WIDTH))
    if index in boxes:
        sides = [side * scale for side in boxes[index]]
        ImageDraw.Draw(image).rectangle(sides, outline=drawing.PALETTE[0], width=3)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
