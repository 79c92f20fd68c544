"""METEOR 1.5 (Denkowski and Lavie 2014), English: the official program's counts, and scores from counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.metrics.java import package_folder, run_java
from grounding_core.errors import GroundingError

FloatArray = npt.NDArray[np.float64]
Pair = tuple[str, tuple[str, ...]]
"""A candidate and its references."""

MODULES = ("exact", "stem", "synonym", "paraphrase")
FIELDS = 23

_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_MODULE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])


def jar_arguments() -> list[str]:
    """How the program is started; it reads its tables for several seconds before its first caption."""
    return ["-Xmx2G", "-jar", str(package_folder("meteor") / "meteor-1.5.jar")]


def statistics(pairs: Sequence[Pair], modules: Sequence[str] = MODULES) -> FloatArray:
    """Counts (n, 23) of tokenised pairs for the best reference of each, in the order of the program.

    These are the lengths of candidate and reference, their function words, then for each module the
    matched content and function words of both, the chunks, and the matched words of both.

    Args:
        pairs: tokenised candidates and references.
        modules: the matchers used, the first few of `MODULES`.

    Raises:
        GroundingError: Java or pycocoevalcap is missing, or the program failed.
    """
    if not pairs:
        return np.zeros((0, FIELDS))
    # pycocoevalcap's wrapper changes candidates in the same way.
    lines = [
        f"SCORE ||| {' ||| '.join(references)} ||| {candidate.replace('|||', '').replace('  ', ' ')}"
        for candidate, references in pairs
    ]
    options = ["-", "-", "-stdio", "-l", "en", "-norm"]
    chosen = [] if tuple(modules) == MODULES else ["-m", " ".join(modules)]
    printed = run_java([*jar_arguments(), *options, *chosen], lines)
    rows = [[float(number) for number in line.split()] for line in printed[: len(lines)]]
    if len(rows) != len(pairs) or any(len(row) != FIELDS for row in rows):
        raise GroundingError("METEOR's program printed something unexpected.", "Check the Java runtime.")
    return np.asarray(rows, dtype=np.float64)


def counts(found: FloatArray) -> FloatArray:
    """Counts (n, 23) as METEOR adds them up: a perfectly matched sentence adds no chunk."""
    summed: FloatArray = found.copy()
    lengths, chunks, matches = found[:, 0:2], found[:, 20], found[:, 21:23]
    perfect = (chunks == 1) & (matches == lengths).all(axis=1)
    summed[perfect, 20] = 0.0
    return summed


def score(counts: FloatArray) -> FloatArray:
    """METEOR (...) of counts (..., 23), of one sentence or summed over a corpus."""
    lengths, function_words = counts[..., 0:2], counts[..., 2:4]
    content = counts[..., [4, 8, 12, 16]] @ _MODULE_WEIGHTS, counts[..., [5, 9, 13, 17]] @ _MODULE_WEIGHTS
    function = counts[..., [6, 10, 14, 18]] @ _MODULE_WEIGHTS, counts[..., [7, 11, 15, 19]] @ _MODULE_WEIGHTS
    total = _DELTA * (lengths - function_words) + (1 - _DELTA) * function_words
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = (_DELTA * content[0] + (1 - _DELTA) * function[0]) / total[..., 0]
        recall = (_DELTA * content[1] + (1 - _DELTA) * function[1]) / total[..., 1]
        mean = 1 / ((1 - _ALPHA) / precision + _ALPHA / recall)
        fragmentation = counts[..., 20] / (counts[..., 21:23].sum(axis=-1) / 2)
        value = mean * (1 - _GAMMA * fragmentation**_BETA)
    return np.asarray(np.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0))
