"""Region similarity J and boundary accuracy F of DAVIS 2017, frame by frame.

Equal to ``db_eval_iou`` and ``db_eval_boundary`` of davis2017-evaluation (ac7c43f), but each frame is
cropped to the box of its two masks, and the tolerance band comes from running counts instead of a
dilation with a disk, whose cost grows with the disk's area.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

BOUND_TH = 0.008
"""Tolerance as a share of the image diagonal, the DAVIS default."""


def tolerance(size: tuple[int, int], bound_th: float = BOUND_TH) -> float:
    """Radius in pixels of the disk within which two boundaries agree; ``bound_th`` >= 1 is that radius."""
    return bound_th if bound_th >= 1 else float(math.ceil(bound_th * math.hypot(*size)))


def boundary_map(mask: BoolArray) -> BoolArray:
    """Pixels (H, W) that differ from their right, lower or lower-right neighbour.

    The last row looks only right, the last column only down, the last pixel nowhere; so an image that is
    all foreground has no boundary.
    """
    edges = np.zeros(mask.shape, dtype=bool)
    right = mask[:, :-1] ^ mask[:, 1:]
    down = mask[:-1] ^ mask[1:]
    edges[:, :-1] = right
    edges[:-1] |= down
    edges[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edges


def _crop(first: BoolArray, second: BoolArray) -> tuple[slice, slice]:
    """The box of both masks, one pixel wider to the left and above, where their boundaries may lie."""
    either = first | second
    rows = np.flatnonzero(either.any(axis=1))
    if rows.size == 0:
        return slice(0, 0), slice(0, 0)
    columns = np.flatnonzero(either[rows[0] : rows[-1] + 1].any(axis=0))
    # One more pixel on the far side keeps the "differs from its neighbour" rule of the whole image.
    return (
        slice(max(int(rows[0]) - 1, 0), int(rows[-1]) + 2),
        slice(max(int(columns[0]) - 1, 0), int(columns[-1]) + 2),
    )


def frame_j(truth: BoolArray, predicted: BoolArray) -> float:
    """Intersection over union of two masks (H, W); 1 if both are empty."""
    union = np.count_nonzero(truth | predicted)
    return 1.0 if union == 0 else np.count_nonzero(truth & predicted) / union


def frame_f(truth: BoolArray, predicted: BoolArray, bound_th: float = BOUND_TH) -> float:
    """Boundary F-measure of two masks (H, W); 1 if neither has a boundary, 0 if only one has."""
    radius = tolerance((truth.shape[0], truth.shape[1]), bound_th)
    box = _crop(truth, predicted)
    truth_edges, predicted_edges = boundary_map(truth[box]), boundary_map(predicted[box])
    n_truth, n_predicted = np.count_nonzero(truth_edges), np.count_nonzero(predicted_edges)
    if n_truth == 0 or n_predicted == 0:
        return 1.0 if n_truth == n_predicted else 0.0
    precision = _within(predicted_edges, truth_edges, radius) / n_predicted
    recall = _within(truth_edges, predicted_edges, radius) / n_truth
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def _within(points: BoolArray, targets: BoolArray, radius: float) -> int:
    """How many True pixels of ``points`` have a True pixel of ``targets`` within ``radius``.

    A disk is a stack of horizontal runs, and a run holds a target where a running count changes over it:
    one comparison of a shifted array for each row of the disk.
    """
    reach = int(radius)
    height, width = targets.shape
    counts = np.zeros((height, width + 2 * reach + 1), dtype=np.int32)
    np.cumsum(targets, axis=1, out=counts[:, reach + 1 : reach + 1 + width])
    counts[:, reach + 1 + width :] = counts[:, reach + width, None]
    near = np.zeros((height, width), dtype=bool)
    for shift in range(min(reach, height - 1) + 1):
        run = math.isqrt(int(radius * radius - shift * shift))
        row = counts[:, reach + run + 1 :][:, :width] != counts[:, reach - run :][:, :width]
        near[shift:] |= row[: height - shift]
        near[: height - shift] |= row[shift:]
    return int(np.count_nonzero(near & points))


def frame_scores(
    truth: BoolArray, predicted: BoolArray, void: BoolArray | None = None, bound_th: float = BOUND_TH
) -> tuple[float, float]:
    """(J, F) of one frame's masks (H, W); ``void`` pixels (H, W) count as background in both."""
    if void is not None:
        truth, predicted = truth & ~void, predicted & ~void
    return frame_j(truth, predicted), frame_f(truth, predicted, bound_th)


def scores(
    truth: BoolArray, predicted: BoolArray, void: BoolArray | None = None, bound_th: float = BOUND_TH
) -> tuple[FloatArray, FloatArray]:
    """J and F (t,) of masks (t, H, W)."""
    pairs = [
        frame_scores(truth[i], predicted[i], None if void is None else void[i], bound_th)
        for i in range(len(truth))
    ]
    table = np.asarray(pairs, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def statistics(values: npt.ArrayLike) -> tuple[float, float, float]:
    """DAVIS mean M, recall R (share of frames strictly above 0.5) and decay D (first minus last quarter).

    The official code holds the quarters' edges in uint8, which wraps beyond 256 frames; here they do not.
    NaN frames are left out of M and D and count as 0 in R.
    """
    frames = np.asarray(values, dtype=np.float64)
    if frames.size == 0:
        return math.nan, math.nan, math.nan
    edges = (np.round(np.linspace(1, frames.size, 5) + 1e-10) - 1).astype(int)
    quarters = [frames[edges[i] : edges[i + 1] + 1] for i in range(4)]
    return _mean(frames), float(np.mean(frames > 0.5)), _mean(quarters[0]) - _mean(quarters[3])


def _mean(values: FloatArray) -> float:
    valid = values[~np.isnan(values)]
    return float(valid.mean()) if valid.size else math.nan
