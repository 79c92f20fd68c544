"""Region similarity J and boundary accuracy F of DAVIS 2017, frame by frame.

Equal to ``db_eval_iou``, ``db_eval_boundary`` and ``db_statistics`` of davis2017-evaluation (ac7c43f), but
masks are packed 64 pixels to a word and each frame is cropped to what its two masks fill.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from benchmarks.metrics import bits

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
    height, width = mask.shape
    edges = bits.boundary(bits.pack(mask), width - 1)
    flat = np.unpackbits(edges.view(np.uint8), axis=1, bitorder="little")
    return np.asarray(flat[:, :width].reshape(height, width), dtype=bool)


def frame_scores(
    truth: BoolArray, predicted: BoolArray, void: BoolArray | None = None, bound_th: float = BOUND_TH
) -> tuple[float, float]:
    """(J, F) of one frame's masks (H, W).

    J is intersection over union, 1 if both masks are empty. F is 1 if neither mask has a boundary and 0 if
    only one has.

    Args:
        truth: true mask.
        predicted: predicted mask.
        void: pixels that count as background in both.
        bound_th: tolerance, see `tolerance`.
    """
    radius = tolerance((truth.shape[0], truth.shape[1]), bound_th)
    if void is not None:
        truth, predicted = truth & ~void, predicted & ~void
    if not truth.flags.c_contiguous and not predicted.flags.c_contiguous:
        # Run-length codes decode column by column. All rules are the same for rows and columns.
        truth, predicted = truth.T, predicted.T
    first, second = bits.pack(truth), bits.pack(predicted)
    both, either = first & second, first | second
    filled = bits.used(either)
    if filled is None:
        return 1.0, 1.0
    j = bits.count(both) / bits.count(either)
    rows, words, last_column = _crop(filled, (truth.shape[0], truth.shape[1]))
    return j, _boundary_f(first[rows, words], second[rows, words], last_column, radius)


def _crop(filled: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[slice, slice, int | None]:
    """The part in which boundaries may lie: one pixel more on each side of what the masks fill.

    Returns:
        Rows, words, and the image's last column counted from the first of these words, if it is in them.
    """
    top, bottom, left, right = filled
    first, last = max(left - 1, 0) // 64, min(right + 1, size[1] - 1) // 64
    edge = size[1] - 1 - 64 * first
    return (
        slice(max(top - 1, 0), bottom + 2),
        slice(first, last + 1),
        edge if edge < 64 * (last + 1 - first) else None,
    )


def _boundary_f(truth: bits.Words, predicted: bits.Words, last_column: int | None, radius: float) -> float:
    truth_edges, predicted_edges = bits.boundary(truth, last_column), bits.boundary(predicted, last_column)
    n_truth, n_predicted = bits.count(truth_edges), bits.count(predicted_edges)
    if n_truth == 0 or n_predicted == 0:
        return 1.0 if n_truth == n_predicted else 0.0
    precision = bits.count(predicted_edges & bits.dilate(truth_edges, radius)) / n_predicted
    recall = bits.count(truth_edges & bits.dilate(predicted_edges, radius)) / n_truth
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


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

    NaN frames are left out of M and D and count as 0 in R.
    """
    frames = np.asarray(values, dtype=np.float64)
    if frames.size == 0:
        return math.nan, math.nan, math.nan
    edges = [int(edge) for edge in _quarter_edges(frames.size)]
    return _statistics(frames, (edges[0], edges[1] + 1), (edges[3], edges[4] + 1))


def statistics_official(values: npt.ArrayLike, *, numpy_2: bool = False) -> tuple[float, float, float]:
    """The same as the official code gives it, which holds the quarters' edges in 8 bits.

    Beyond 256 frames the edges wrap around, and D is meaningless or NaN.

    Args:
        values: one number a frame.
        numpy_2: as under NumPy 2 and later, where the end of a quarter wraps as well, from 256 frames on.
    """
    frames = np.asarray(values, dtype=np.float64)
    if frames.size == 0:
        return math.nan, math.nan, math.nan
    edges = [int(edge) % 256 for edge in _quarter_edges(frames.size)]
    ends = [(edge + 1) % 256 if numpy_2 else edge + 1 for edge in edges]
    return _statistics(frames, (edges[0], ends[1]), (edges[3], ends[4]))


def _quarter_edges(n: int) -> FloatArray:
    return np.asarray(np.round(np.linspace(1, n, 5) + 1e-10) - 1)


def _statistics(
    frames: FloatArray, first: tuple[int, int], last: tuple[int, int]
) -> tuple[float, float, float]:
    decay = _mean(frames[slice(*first)]) - _mean(frames[slice(*last)])
    return _mean(frames), float(np.mean(frames > 0.5)), decay


def _mean(values: FloatArray) -> float:
    valid = values[~np.isnan(values)]
    return float(valid.mean()) if valid.size else math.nan
