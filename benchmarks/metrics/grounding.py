"""Overlap of moments and of box tubes, as TubeDETR defines it, and VideoGLaMM's variant of it.

Intervals are half-open ``(start, end)`` frame numbers and boxes ``(x0, y0, x1, y1)`` in pixels.
Sources: TubeDETR ``datasets/vidstg_eval.py`` (d70c0ee), VideoGLaMM ``eval_grounding.py`` (6b15b1e).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label

Box = tuple[float, float, float, float]
Interval = tuple[int, int]

MIN_BLOB = 20
"""VideoGLaMM drops connected components with fewer pixels before it takes a mask's box."""

_NO_BOX: Box = (1e8, 1e8, 0.0, 0.0)
"""What VideoGLaMM's minimum and maximum leave for an empty mask."""


def box_iou(first: Box, second: Box) -> float:
    """Intersection over union; 0 where the union has no area."""
    width = max(min(first[2], second[2]) - max(first[0], second[0]), 0.0)
    height = max(min(first[3], second[3]) - max(first[1], second[1]), 0.0)
    intersection = width * height
    union = _area(first) + _area(second) - intersection
    return intersection / union if union > 0 else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def temporal_iou(truth: Interval, predicted: Interval) -> float:
    """Overlap of two moments over their hull, as TubeDETR has it; 0 if they do not overlap."""
    intersection = min(truth[1], predicted[1]) - max(truth[0], predicted[0])
    hull = max(truth[1], predicted[1]) - min(truth[0], predicted[0])
    return intersection / hull if intersection > 0 else 0.0


@dataclass(frozen=True)
class TubeScores:
    """One sample: overlap in time, in space and time, and in space inside the true moment."""

    tiou: float
    viou: float
    gt_viou: float


def tube_scores(
    truth: Mapping[int, Box],
    moment: Interval,
    predicted: Mapping[int, Box],
    predicted_moment: Interval | None,
    frames: Iterable[int],
) -> TubeScores:
    """Scores of one predicted tube.

    Args:
        truth: true boxes by frame.
        moment: the true interval.
        predicted: predicted boxes by frame; a frame without one overlaps nothing.
        predicted_moment: None scores tIoU and vIoU 0.
        frames: the frames that are looked at.

    vIoU adds the box IoU of the frames in both moments and divides by the number of frames in either;
    gt_vIoU is the mean box IoU over the frames of the true moment.
    """
    found = predicted_moment or (0, 0)
    union: set[int] = set()
    inside: dict[int, float] = {}
    shared = 0.0
    for frame in frames:
        in_truth = moment[0] <= frame < moment[1]
        in_found = found[0] <= frame < found[1]
        if in_truth or in_found:
            union.add(frame)
        if in_truth and frame in truth:
            overlap = box_iou(truth[frame], predicted[frame]) if frame in predicted else 0.0
            inside[frame] = overlap
            shared += overlap if in_found else 0.0
    return TubeScores(
        tiou=temporal_iou(moment, found) if predicted_moment else 0.0,
        viou=shared / len(union) if union else 0.0,
        gt_viou=sum(inside.values()) / len(inside) if inside else 0.0,
    )


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


def videoglamm_box_iou(truth: Box, predicted: Box) -> float:
    """Box IoU in VideoGLaMM's float32; two boxes without area give NaN, as there."""
    a, b = np.asarray(truth, dtype=np.float32), np.asarray(predicted, dtype=np.float32)
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    intersection = sides[0] * sides[1]
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(intersection / union)


def videoglamm_scores(
    truth: Mapping[int, Box],
    moment: Interval,
    predicted: Mapping[int, Box],
    predicted_moment: Interval,
    frames: Sequence[int],
) -> TubeScores:
    """VideoGLaMM's numbers: its moments name their last frame, and half-open formulas take them as they are.

    Args:
        truth: true boxes by frame.
        moment: first and last frame of the truth, both **inclusive**.
        predicted: boxes of :func:`videoglamm_box` by frame.
        predicted_moment: first and last frame, both **inclusive**.
        frames: all sampled frames.
    """
    overlap = {
        frame: videoglamm_box_iou(truth[frame], predicted.get(frame, _NO_BOX))
        for frame in frames
        if moment[0] <= frame <= moment[1] and frame in truth
    }
    union = [
        frame
        for frame in frames
        if moment[0] <= frame < moment[1] or predicted_moment[0] <= frame < predicted_moment[1]
    ]
    shared = sum(overlap.get(frame, 0.0) for frame in union if _in_both(frame, moment, predicted_moment))
    return TubeScores(
        tiou=temporal_iou(moment, predicted_moment),
        viou=shared / max(len(union), 1),
        gt_viou=sum(overlap.values()) / max(len(overlap), 1),
    )


def _in_both(frame: int, first: Interval, second: Interval) -> bool:
    return first[0] <= frame < first[1] and second[0] <= frame < second[1]
