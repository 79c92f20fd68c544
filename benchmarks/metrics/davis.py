"""DAVIS 2017's two protocols on label maps, as Ref-DAVIS17 is scored.

Source: davis2017-evaluation (ac7c43f) ``davis2017/evaluation.py``. A label map (t, H, W) gives every pixel
the number of its object, 0 for none; 255 is void.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from benchmarks.metrics.refseg import FloatArray, scores, statistics, statistics_official

VOID = 255

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SequenceScores:
    """J and F of objects of a sequence (objects, frames), and which object each row is about."""

    j: FloatArray
    f: FloatArray
    objects: Sequence[int]


def unsupervised(truth: Labels, predicted: Labels) -> SequenceScores:
    """Best one-to-one assignment of predicted to true objects, by mean J plus mean F.

    All frames count, void pixels do not. Objects are those numbered up to the largest label of frame 0; a
    missing prediction is an empty track. Rows come in the order of the predictions' numbers.
    """
    void = truth == VOID
    objects = _objects(np.where(void, 0, truth))
    found = max(int(predicted.max(initial=0)), objects)
    pairs = [
        [scores(truth == target, predicted == label, void) for target in range(1, objects + 1)]
        for label in range(1, found + 1)
    ]
    table = np.asarray(pairs, dtype=np.float64).reshape(found, objects, 2, len(truth))
    rows, columns = linear_sum_assignment(-table.mean(axis=(2, 3)))
    return SequenceScores(table[rows, columns, 0], table[rows, columns, 1], (columns + 1).tolist())


def semi_supervised(truth: Labels, predicted: Labels) -> SequenceScores:
    """Label by label, without the first and the last frame; void is background."""
    objects = _objects(np.where(truth == VOID, 0, truth))
    inner, found = truth[1:-1], predicted[1:-1]
    pairs = [scores(inner == label, found == label) for label in range(1, objects + 1)]
    table = np.asarray(pairs, dtype=np.float64).reshape(objects, 2, len(inner))
    return SequenceScores(table[:, 0], table[:, 1], range(1, objects + 1))


def _objects(labels: Labels) -> int:
    return int(labels[0].max(initial=0))


@dataclass(frozen=True)
class Summary:
    """M, R and D of every object (objects, 3) for J and for F, and their means over objects."""

    j: FloatArray
    f: FloatArray

    @property
    def jf(self) -> float:
        """J&F-Mean over all objects of all sequences."""
        return float((self.j[:, 0].mean() + self.f[:, 0].mean()) / 2)


def summarize(sequences: Sequence[SequenceScores], *, official: bool) -> Summary:
    """Statistics over all objects; ``official`` takes the decay with its fault beyond 256 frames."""
    take = statistics_official if official else statistics
    j = [take(row) for sequence in sequences for row in sequence.j]
    f = [take(row) for sequence in sequences for row in sequence.f]
    return Summary(np.asarray(j).reshape(-1, 3), np.asarray(f).reshape(-1, 3))
