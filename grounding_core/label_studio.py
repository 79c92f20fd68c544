"""Label Studio's results: masks as brush labels, tracks as video rectangles, read and written.

Formats: https://labelstud.io/tags/brushlabels and https://labelstud.io/tags/videorectangle. A brush is an
RGBA picture, packed as thi.ng's ``rle-pack`` does; a rectangle has key frames (counted from 1, in per cent of
the picture) between which it moves evenly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from grounding_core.masks import BoolMask, MaskTrack

Json = dict[str, Any]
Box = tuple[float, float, float, float]

CHANNELS = 4
"""A pixel is red, green, blue and alpha; the last says whether it belongs to the mask."""
WORD = 8
LENGTHS = (3, 4, 8, 16)
"""Bits of a run's length, least first; a run says which of them it uses."""
LONGEST = 1 << LENGTHS[-1]


def to_rle(mask: BoolMask) -> list[int]:
    """Bytes of a mask (H, W): opaque white where it is."""
    flat = np.asarray(mask, dtype=bool).ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    bounds = [0, *edges.tolist(), len(flat)] if len(flat) else []
    bits = [f"{CHANNELS * len(flat):032b}{WORD - 1:05b}", *(f"{size - 1:04b}" for size in LENGTHS)]
    for start, stop in pairwise(bounds):
        left = CHANNELS * (stop - start)
        while left:
            run = min(left, LONGEST)
            choice = next(i for i, size in enumerate(LENGTHS) if run <= 1 << size)
            bits.append(f"1{choice:02b}{run - 1:0{LENGTHS[choice]}b}{255 * int(flat[start]):08b}")
            left -= run
    packed = "".join(bits)
    packed += "0" * (-len(packed) % 8)
    return [int(packed[place : place + 8], 2) for place in range(0, len(packed), 8)]


def from_rle(rle: Sequence[int], size: tuple[int, int]) -> BoolMask:
    """The mask (H, W) of a brush: its opaque pixels.

    Raises:
        ValueError: the bytes are of a picture of another size, or end too soon.
    """
    bits = "".join(f"{int(byte):08b}" for byte in rle)
    place = 0

    def read(count: int) -> int:
        nonlocal place
        if place + count > len(bits):
            raise ValueError("a brush's bytes end too soon")
        found = int(bits[place : place + count], 2)
        place += count
        return found

    total = CHANNELS * size[0] * size[1]
    if (told := read(32)) != total:
        raise ValueError(f"a brush has {told} values, a picture of {size[1]}x{size[0]} has {total}")
    word = read(5) + 1
    lengths = [read(4) + 1 for _ in range(4)]
    values = np.zeros(total, dtype=bool)
    done = 0
    while done < total:
        same, length = read(1), read(lengths[read(2)]) + 1
        if done + length > total:
            raise ValueError("a brush's runs leave the picture")
        if same:
            values[done : done + length] = read(word) > 0
        else:
            values[done : done + length] = [read(word) > 0 for _ in range(length)]
        done += length
    mask: BoolMask = values.reshape(*size, CHANNELS)[..., -1].copy()
    return mask


def brush(mask: BoolMask, *, id: str, label: str, tag: str = "mask", image: str = "image") -> Json:
    """A mask (H, W) as a result of a ``BrushLabels``.

    Args:
        mask: of one frame.
        id: of the region, unique within its task.
        label: what it is.
        tag: name of the ``BrushLabels`` in the labelling configuration.
        image: name of its ``Image``.
    """
    return {
        "id": id,
        "type": "brushlabels",
        "from_name": tag,
        "to_name": image,
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": to_rle(mask), "brushlabels": [label]},
    }


def rectangles(track: MaskTrack, *, fps: float, label: str, tag: str = "box", video: str = "video") -> Json:
    """The boxes of a track as a result of a ``VideoRectangle``: a key frame wherever it is visible.

    Args:
        track: whose boxes.
        fps: frames a second.
        label: what it is.
        tag: name of the ``VideoRectangle`` in the labelling configuration.
        video: name of its ``Video``.
    """
    height, width = track.size
    boxes = track.boxes()
    sequence = [
        {
            "frame": index + 1,
            "time": round(index / fps, 4),
            "x": 100 * x0 / width,
            "y": 100 * y0 / height,
            "width": 100 * (x1 - x0) / width,
            "height": 100 * (y1 - y0) / height,
            "rotation": 0,
            # A box is drawn on from frame to frame until one says that it ends.
            "enabled": index + 1 in boxes,
        }
        for index, (x0, y0, x1, y1) in boxes.items()
    ]
    return {
        "id": f"track-{track.id}",
        "type": "videorectangle",
        "from_name": tag,
        "to_name": video,
        "value": {
            "framesCount": len(track),
            "duration": len(track) / fps,
            "sequence": sequence,
            "labels": [label],
        },
    }


def boxes_of(value: Mapping[str, Any], size: tuple[int, int], length: int) -> dict[int, Box]:
    """Boxes (x0, y0, x1, y1) in pixels by frame, of the ``value`` of a video rectangle.

    Between key frames the box moves evenly; after one that is not ``enabled`` it is gone until the next;
    after the last, if that is enabled, it stays.

    Args:
        value: with ``sequence``.
        size: (H, W) of the video.
        length: its number of frames; key frames beyond it do not count.

    Raises:
        KeyError, TypeError, ValueError: a key frame is malformed.
    """
    scale = np.array([size[1], size[0], size[1], size[0]], dtype=np.float64) / 100
    keys: dict[int, tuple[np.ndarray[Any, np.dtype[np.float64]], bool]] = {}
    for key in sorted(value["sequence"], key=lambda one: int(one["frame"])):
        x, y, wide, high = (float(key[name]) for name in ("x", "y", "width", "height"))
        corners = np.array([x, y, x + wide, y + high]) * scale
        if not np.isfinite(corners).all():
            raise ValueError("a key frame has no numbers")
        keys[int(key["frame"]) - 1] = corners, bool(key.get("enabled", True))
    found: dict[int, Box] = {}
    places = sorted(keys)
    for place, after in zip(places, [*places[1:], length], strict=False):
        corners, goes_on = keys[place]
        goal = keys[after][0] if after in keys else corners
        last = after if goes_on else place + 1
        for frame in range(max(place, 0), min(last, length)):
            share = (frame - place) / (after - place)
            x0, y0, x1, y1 = (corners + share * (goal - corners)).tolist()
            found[frame] = (x0, y0, x1, y1)
    return found
