"""From per-sample counts to a number and its interval.

Every metric is a function of counts that add up over samples: a mean is (sum, number), pooled recall is
(found, all), corpus METEOR is a formula on 23 sums. So one bootstrap serves them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

RESAMPLES = 2000
MOST_GROUPS = 1000
"""With more videos than that, whole groups of them are resampled: memory and time stay bounded."""

CONFIDENCE = 0.95


def ratio(counts: FloatArray) -> FloatArray:
    """(...) from counts (..., 2): the first over the second; NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(counts[..., 1] > 0, counts[..., 0] / counts[..., 1], np.nan))


@dataclass(frozen=True)
class Measure:
    """A number in the report.

    Attributes:
        key: what files call it.
        label: what tables call it.
        help: one line: what it is and which protocol made it.
        percent: shown as value x 100.
        finish: counts (..., d), summed over samples, to values (...).
        brief: shown in the terminal's table.
    """

    key: str
    label: str
    help: str
    percent: bool = True
    finish: Callable[[FloatArray], FloatArray] = ratio
    brief: bool = True


def per_sample(measure: Measure, counts: FloatArray) -> list[float | None]:
    """The measure of each sample by itself, from its counts (n, d); None where it has none."""
    values = measure.finish(counts)
    return [float(value) if math.isfinite(value) else None for value in values]


@dataclass(frozen=True)
class Estimate:
    """A value with the bounds of its 95 % bootstrap interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


def estimate(
    counts: FloatArray, videos: Sequence[str], finish: Callable[[FloatArray], FloatArray] = ratio
) -> Estimate:
    """Value over all samples and its interval, resampling whole videos.

    Args:
        counts: (n, d), a row a sample.
        videos: n names; samples of one video are not independent.
        finish: counts (..., d) to values (...).
    """
    return _between(float(finish(counts.sum(axis=0))), finish(_resampled(counts, videos)))


def difference(
    first: FloatArray,
    second: FloatArray,
    videos: Sequence[str],
    finish: Callable[[FloatArray], FloatArray] = ratio,
) -> Estimate:
    """The second value minus the first, with the interval of the paired difference.

    Both are resampled alike, so that what makes a video hard for both cancels out.

    Args:
        first: (n, d), a row a sample.
        second: the same samples in the same order.
        videos: n names.
        finish: counts (..., d) to values (...).
    """
    value = float(finish(second.sum(axis=0)) - finish(first.sum(axis=0)))
    return _between(value, finish(_resampled(second, videos)) - finish(_resampled(first, videos)))


def _resampled(counts: FloatArray, videos: Sequence[str]) -> FloatArray:
    """(draws, d): counts summed over drawn videos, the same draws for the same number of videos."""
    names, places = np.unique(np.asarray(videos, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        return np.zeros((0, counts.shape[1]))
    if len(names) > MOST_GROUPS:
        # Dealt at random, so that groups are alike: their spread tells that of the mean as videos would.
        places = np.random.default_rng(0).permutation(len(names))[places] % MOST_GROUPS
    groups = min(len(names), MOST_GROUPS)
    sums = np.zeros((groups, counts.shape[1]))
    np.add.at(sums, places, counts)
    # A fixed seed: the same scores give the same report.
    draws = np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)
    return np.asarray(draws @ sums)


def _between(value: float, values: FloatArray) -> Estimate:
    values = values[np.isfinite(values)]
    if values.size == 0:
        return Estimate(value)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))
