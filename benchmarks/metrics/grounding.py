"""Overlap of moments and of box tubes, as TubeDETR defines it, and VideoGLaMM's variant of it.

Intervals are ``(start, end)`` frame numbers and boxes ``(x0, y0, x1, y1)`` in pixels.
Sources: TubeDETR ``datasets/vidstg_eval.py``, ``datasets/hcstvg_eval.py`` and ``util/box_ops.py`` (d70c0ee),
VideoGLaMM ``eval_grounding.py`` (6b15b1e).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label

Box = tuple[float, float, float, float]
Interval = tuple[float, float]

THRESHOLDS = (0.3, 0.5)
"""A sample counts where its vIoU is strictly above."""

MIN_BLOB = 20
"""VideoGLaMM drops connected components with fewer pixels before it takes a mask's box."""

_NO_BOX: Box = (1e8, 1e8, 0.0, 0.0)
"""What VideoGLaMM's minimum and maximum leave for an empty mask."""

_INTERVAL = re.compile(r"frames:\((\d+),(\d+)\)")
MOST_DIGITS = 18
"""Of a written frame number; no video is that long, and Python reads no more than some thousands."""


def box_iou(first: Box, second: Box) -> float:
    """Intersection over union; 0 where the union has no area."""
    value = box_iou_official(first, second)
    return 0.0 if np.isnan(value) else value


def box_iou_official(first: Box, second: Box) -> float:
    """TubeDETR's ``np_box_iou``: NaN for two boxes without area, and inverted boxes are not noticed."""
    return _iou(np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64))


def box_iou_videoglamm(truth: Box, predicted: Box) -> float:
    """The same in single precision, which VideoGLaMM computes boxes in."""
    return _iou(np.asarray(truth, dtype=np.float32), np.asarray(predicted, dtype=np.float32))


def _iou(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> float:
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    shared = sides[0] * sides[1]
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(shared / union)


@dataclass(frozen=True)
class Overlap:
    """How two half-open moments overlap: tIoU, and the frames in their hull and in both."""

    tiou: float
    union: Sequence[int]
    shared: frozenset[int]


def overlap(truth: Interval, predicted: Interval, frames: Iterable[int]) -> Overlap:
    """Of the frames looked at, those from the earlier start to the later end, and those in both moments.

    tIoU is 0 where they do not overlap, so it is 0 for empty moments, even for identical ones.
    """
    start, end = max(truth[0], predicted[0]), min(truth[1], predicted[1])
    first, last = min(truth[0], predicted[0]), max(truth[1], predicted[1])
    frames = list(frames)
    return Overlap(
        tiou=(end - start) / (last - first) if end > start else 0.0,
        union=[frame for frame in frames if first <= frame < last],
        shared=frozenset(frame for frame in frames if start <= frame < end),
    )


def temporal_iou(truth: Interval, predicted: Interval) -> float:
    """Overlap of two moments over their hull; 0 if they do not overlap."""
    return overlap(truth, predicted, ()).tiou


@dataclass(frozen=True)
class TubeScores:
    """One sample: overlap in time, in space and time, and in space inside the true moment.

    ``frames`` holds the box IoU of every frame of the true moment that was looked at.
    """

    tiou: float
    viou: float
    gt_viou: float
    frames: Mapping[int, float] = field(default_factory=dict)

    def flags(self) -> dict[str, float]:
        """``viou@t`` and ``gt_viou@t``: 1 where the value is strictly above t."""
        values = {"viou": self.viou, "gt_viou": self.gt_viou}
        return {f"{key}@{t}": float(value > t) for key, value in values.items() for t in THRESHOLDS}


def tube_scores(
    truth: Mapping[int, Box],
    moment: Interval,
    predicted: Mapping[int, Box],
    predicted_moment: Interval | None,
    frames: Iterable[int],
    iou: Callable[[Box, Box], float] = box_iou,
) -> TubeScores:
    """Scores of one predicted tube; moments are half-open.

    Args:
        truth: true boxes by frame.
        moment: the true interval.
        predicted: predicted boxes by frame; a frame without one overlaps nothing.
        predicted_moment: None scores tIoU and vIoU 0.
        frames: the frames that are looked at.
        iou: of a true and a predicted box; TubeDETR's own is `box_iou_official`.

    vIoU adds the box IoU of the frames in both moments and divides by the number of frames in either;
    gt_vIoU is the mean box IoU over the frames of the true moment.
    """
    frames = list(frames)
    times = overlap(moment, predicted_moment or (moment[0], moment[0]), frames)
    inside = {
        frame: iou(truth[frame], predicted[frame]) if frame in predicted else 0.0
        for frame in frames
        if moment[0] <= frame < moment[1] and frame in truth
    }
    return _scores(times, inside)


def _scores(times: Overlap, inside: Mapping[int, float]) -> TubeScores:
    shared = sum(value for frame, value in inside.items() if frame in times.shared)
    return TubeScores(
        tiou=times.tiou,
        viou=shared / max(len(times.union), 1),
        gt_viou=sum(inside.values()) / max(len(inside), 1),
        frames=inside,
    )


def sampled_frames(start: int, end: int, video_fps: float, fps: float = 5, limit: int = 200) -> list[int]:
    """The frames TubeDETR looks at: ``fps`` a second of [start, end), thinned to ``limit``.

    Keeps a frame where its number at the lower rate exceeds that of the last one kept. The first frame is
    always kept, also of an empty range.
    """
    rate = fps / video_fps
    found = [start]
    for frame in range(start, end):
        if int(found[-1] * rate) < int(frame * rate):
            found.append(frame)
    if len(found) > limit:
        found = [found[index * len(found) // limit] for index in range(limit)]
    return found


def remove_small_blobs(mask: npt.NDArray[np.bool_], minimum: int = MIN_BLOB) -> npt.NDArray[np.bool_]:
    """The mask (H, W) without its 4-connected components of fewer than ``minimum`` pixels."""
    labels, _ = label(mask)
    sizes = np.bincount(labels.ravel())
    keep = sizes >= minimum
    keep[0] = False
    return np.asarray(keep[labels], dtype=bool)


def videoglamm_box(mask: npt.NDArray[np.bool_]) -> Box:
    """VideoGLaMM's box of a cleaned mask: inclusive pixel indices, so one pixel short each way."""
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return _NO_BOX
    return float(columns.min()), float(rows.min()), float(columns.max()), float(rows.max())


def videoglamm_scores(
    truth: Mapping[int, Box],
    moment: Interval,
    predicted: Mapping[int, Box],
    predicted_moment: Interval,
    frames: Sequence[int],
) -> TubeScores:
    """VideoGLaMM's numbers: its moments name their last frame, and half-open formulas take them as they are.

    So the last true frame counts in gt_vIoU but never in vIoU, and a moment of one frame scores 0.

    Args:
        truth: true boxes by frame.
        moment: first and last frame of the truth, both **inclusive**.
        predicted: boxes of `videoglamm_box` by frame.
        predicted_moment: first and last frame, both **inclusive**.
        frames: all sampled frames.
    """
    inside = {
        frame: box_iou_videoglamm(truth[frame], predicted.get(frame, _NO_BOX))
        for frame in frames
        if moment[0] <= frame <= moment[1] and frame in truth
    }
    return _scores(overlap(moment, predicted_moment, frames), inside)


def written_interval(reply: str) -> tuple[int, int] | None:
    """First and last frame, both inclusive, of the first ``frames:(a,b)`` in a reply.

    Digits only and no blanks, as VideoGLaMM's script reads it.
    """
    found = _INTERVAL.search(reply)
    if found is None or max(map(len, found.groups())) > MOST_DIGITS:
        return None
    return int(found.group(1)), int(found.group(2))
