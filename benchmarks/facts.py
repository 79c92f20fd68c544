"""Facts about a sample, found out from its truth, by which a report is broken down."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Box, Sample, Truth
from grounding_core.masks import MaskTrack

SMALL, LARGE = 0.02, 0.15
"""Shares of the frame's area between small, medium and large."""

SHORT, LONG = 30, 100
"""Frames between short, medium and long."""

MOVING = 0.1
"""How far a box's centre must travel to be called moving, as a share of the frame's diagonal."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Shape:
    """Size (H, W) and number of frames of a video."""

    size: Size
    length: int


def shape_of(sample: Sample, truth: Truth) -> Shape | None:
    """From the truth, or else from the video; None where only the video knows and can't be opened."""
    if truth.tracks:
        return Shape(truth.tracks[0].size, len(truth.tracks[0]))
    try:
        video = sample.open_video()
    except GroundingError:
        return None
    return Shape(video.size, len(video))


def facts_of(tags: Mapping[str, str], truth: Truth, shape: Shape | None) -> dict[str, str]:
    """What the truth says of a sample, beside the tags that the data set itself gives it.

    Args:
        tags: the sample's own; they win over what is found here.
        truth: of the sample.
        shape: of its video, as `shape_of` found it.

    Returns:
        ``objects`` (how many), ``object size`` (median share of the frame's area), ``motion`` (travel of the
        box's centre), ``visibility`` (whether the object is hidden for a while between two frames in which
        it is seen) and ``video length``; each only where the truth tells.
    """
    paths = _paths(truth)
    found: dict[str, str] = {}
    if shape is not None:
        found["video length"] = _length(shape.length)
        if paths:
            found["object size"] = _object_size(truth, paths, shape.size)
            travelled = max(_travel(path, shape.size) for path in paths)
            found["motion"] = "moving" if travelled > MOVING else "static"
    if truth.caption is not None and truth.tracks:
        found["objects"] = str(len(truth.tracks)) if len(truth.tracks) < 4 else "4+"
    if truth.tracks and paths:
        hidden = any(_hidden_between(track, truth.annotated) for track in truth.tracks)
        found["visibility"] = "hidden for a while" if hidden else "seen throughout"
    return {**found, **tags}


def digest_of(truth: Truth) -> str:
    """A hash of everything the annotators said, to tell whether truth has changed."""
    return hashlib.sha256(repr(truth).encode()).hexdigest()[:16]


def _paths(truth: Truth) -> list[Mapping[int, Box]]:
    """Boxes by frame of each object that is ever visible."""
    if not truth.tracks:
        return [truth.boxes] if truth.boxes else []
    return [path for path in (track.boxes() for track in truth.tracks) if path]


def _object_size(truth: Truth, paths: Sequence[Mapping[int, Box]], size: Size) -> str:
    if truth.tracks:
        areas = [float(area) for track in truth.tracks for area in track.areas().values()]
    else:
        areas = [(x1 - x0) * (y1 - y0) for path in paths for x0, y0, x1, y1 in path.values()]
    share = float(np.median(areas)) / (size[0] * size[1])
    if share < SMALL:
        return f"small (< {SMALL:.0%})"
    return f"medium ({SMALL:.0%} to {LARGE:.0%})" if share <= LARGE else f"large (> {LARGE:.0%})"


def _travel(path: Mapping[int, Box], size: Size) -> float:
    """Diagonal of the rectangle that holds all centres, as a share of the frame's."""
    centres = np.array([((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in path.values()])
    return float(np.hypot(*np.ptp(centres, axis=0))) / math.hypot(*size)


def _hidden_between(track: MaskTrack, annotated: Sequence[int] | None) -> bool:
    looked = range(len(track)) if annotated is None else sorted(annotated)
    seen = [track.frames[frame] is not None for frame in looked]
    return any(seen) and not all(seen[seen.index(True) : len(seen) - seen[::-1].index(True)])


def _length(frames: int) -> str:
    if frames <= SHORT:
        return f"short (up to {SHORT} frames)"
    return f"medium ({SHORT + 1} to {LONG} frames)" if frames <= LONG else f"long (over {LONG} frames)"
