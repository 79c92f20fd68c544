"""BLEU, METEOR, ROUGE-L and CIDEr-D of captions, through pycocoevalcap 1.2 and the programs it ships."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.disk import Memory
from benchmarks.metrics import meteor
from benchmarks.metrics.java import JAVA_MISSING
from benchmarks.metrics.meteor import Pair
from benchmarks.metrics.tokens import tokenize

FloatArray = npt.NDArray[np.float64]

MAX_CHARACTERS = 2000
"""VideoGLaMM cuts candidate and reference to this before it tokenises."""

BLEU_ORDERS = 4
BLEU_FIELDS = 2 + 2 * BLEU_ORDERS
_TINY, _SMALL = 1e-15, 1e-9
"""pycocoevalcap's constants, which make a BLEU without any match about 1e-9 rather than 0."""


def prepare(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs cut and tokenised, which is how the metrics below want them.

    Raises:
        GroundingError: Java or pycocoevalcap is missing.
    """
    texts = [text[:MAX_CHARACTERS] for candidate, references in pairs for text in (candidate, *references)]
    unique = list(dict.fromkeys(texts))
    tokens = dict(zip(unique, tokenize(unique), strict=True))
    remaining = iter(texts)
    return [
        (tokens[next(remaining)], tuple(tokens[next(remaining)] for _ in references))
        for _, references in pairs
    ]


def _official(name: str) -> Any:
    try:
        return import_module(f"pycocoevalcap.{name}")
    except ModuleNotFoundError as error:
        raise JAVA_MISSING from error


def _dictionaries(pairs: Sequence[Pair]) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and candidates in pycocoevalcap's form."""
    truth = {index: list(references) for index, (_, references) in enumerate(pairs)}
    return truth, {index: [candidate] for index, (candidate, _) in enumerate(pairs)}


def cider(pairs: Sequence[Pair]) -> FloatArray:
    """CIDEr-D (n,) of tokenised pairs; document frequencies come from these very references."""
    if not pairs:
        return np.zeros(0)
    scorer = _official("cider.cider").Cider()
    return np.asarray(scorer.compute_score(*_dictionaries(pairs))[1], dtype=np.float64)


def rouge_l(pairs: Sequence[Pair]) -> FloatArray:
    """ROUGE-L (n,) of tokenised pairs: beta 1.2, best precision and best recall taken separately."""
    if not pairs:
        return np.zeros(0)
    scorer = _official("rouge.rouge").Rouge()
    return np.asarray(scorer.compute_score(*_dictionaries(pairs))[1], dtype=np.float64)


def bleu_counts(pairs: Sequence[Pair]) -> FloatArray:
    """BLEU's counts (n, 10) of tokenised pairs, which add up over a corpus.

    Candidate length, closest reference length, n-grams of orders 1 to 4, and matched ones.
    """
    scorer = _official("bleu.bleu_scorer")
    rows = []
    for candidate, references in pairs:
        found = scorer.cook_test(candidate, scorer.cook_refs(references), eff="closest")
        rows.append([found["testlen"], found["reflen"], *found["guess"], *found["correct"]])
    return np.asarray(rows, dtype=np.float64).reshape(len(pairs), BLEU_FIELDS)


def bleu_score(counts: FloatArray) -> FloatArray:
    """BLEU-1 to BLEU-4 (..., 4) of counts (..., 10), of one sentence or summed over a corpus."""
    guessed, correct = counts[..., 2 : 2 + BLEU_ORDERS], counts[..., 2 + BLEU_ORDERS :]
    precisions = np.cumprod((correct + _TINY) / (guessed + _SMALL), axis=-1)
    ratio = (counts[..., 0] + _TINY) / (counts[..., 1] + _SMALL)
    brevity = np.where(ratio < 1, np.exp(1 - 1 / np.minimum(ratio, 1.0)), 1.0)
    return np.asarray(precisions ** (1 / np.arange(1, BLEU_ORDERS + 1)) * brevity[..., None])


class CaptionScorer:
    """METEOR of many candidates, with its alignments remembered on disk.

    All pairs should go in at once: the program reads its tables before its first caption.

    Args:
        memory: JSON file of alignments; None keeps none.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = Memory(memory)

    def meteor_statistics(self, pairs: Sequence[Pair]) -> FloatArray:
        """Counts (n, 23) of `benchmarks.metrics.meteor.statistics`."""
        keys = [_key(pair) for pair in pairs]
        known = self._memory.known
        missing = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in known}
        if missing:
            found = meteor.statistics(list(missing.values()))
            known.update(zip(missing, found.tolist(), strict=True))
            self._memory.save()
        return np.asarray([known[key] for key in keys], dtype=np.float64).reshape(-1, meteor.FIELDS)


def _key(pair: Pair) -> str:
    return hashlib.sha256("\n".join([pair[0], *pair[1]]).encode()).hexdigest()[:32]
