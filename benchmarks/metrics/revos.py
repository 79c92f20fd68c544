"""ReVOS: accuracy A, robustness R, and averages over referring and reasoning expressions.

Source: VISA (ec158fd) ``tools/eval_revos.py`` and ``tools/metrics.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

REFERRING, REASONING, NONEXISTENT = 0, 1, 2
"""``type_id`` of an expression."""

_TINY = 1e-6
"""Added to the foreground by the official script."""


def robustness(false_positives: int, foreground: int) -> float:
    """R of one frame: 1 less the wrongly marked share of all annotated objects' pixels, at least 0.

    Args:
        false_positives: pixels of the prediction outside the truth.
        foreground: pixels of all objects annotated in the video, referred to or not.
    """
    return max(1 - false_positives / (foreground + _TINY), 0.0)


def robustness_official(truth: Pixels, predicted: Pixels, foreground: Pixels) -> float:
    """R of one frame of raw 8-bit images (H, W), which wrap around.

    Right for masks of 0 and 1. A truth of 2, where instances overlap, weighs 255, and so does every pixel
    of a prediction stored as 255.
    """
    wrong = ((np.uint8(1) - truth) * predicted).sum()
    return robustness(int(wrong), int(foreground.sum()))


def accuracy_official(truth: Pixels, predicted: Pixels) -> float:
    """A of one frame of raw 8-bit images (H, W): the share of pixels with the very same value."""
    return float(np.mean(truth == predicted))


@dataclass(frozen=True)
class ExpressionScores:
    """J, F, A and R of one expression in percent, rounded to two decimals before any averaging."""

    j: float
    f: float
    jf: float
    a: float
    r: float
    type_id: int

    @classmethod
    def rounded(cls, j: float, f: float, a: float, r: float, type_id: int) -> ExpressionScores:
        """From shares of 1."""
        return cls(
            round(100 * j, 2),
            round(100 * f, 2),
            round(100 * (j + f) / 2, 2),
            round(100 * a, 2),
            round(100 * r, 2),
            type_id,
        )


def aggregate(expressions: Sequence[ExpressionScores]) -> Mapping[str, Mapping[str, float]]:
    """Means by type: ``referring``, ``reason`` and ``overall``, the mean of these two means.

    Each has J, F, A, R, and JF as the mean of J and F. Expressions without a target are not counted.
    """
    means: dict[str, dict[str, float]] = {}
    for name, type_id in (("referring", REFERRING), ("reason", REASONING)):
        rows = [(one.j, one.f, one.a, one.r) for one in expressions if one.type_id == type_id]
        columns = np.asarray(rows, dtype=np.float64).reshape(-1, 4)
        with np.errstate(invalid="ignore"):
            found = columns.sum(axis=0) / len(columns) if rows else np.full(4, np.nan)
        means[name] = dict(zip("JFAR", map(float, found), strict=True))
    means["overall"] = {key: (means["referring"][key] + means["reason"][key]) / 2 for key in "JFAR"}
    for values in means.values():
        values["JF"] = (values["J"] + values["F"]) / 2
    return means
