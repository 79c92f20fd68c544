"""How alike two phrases are: one number in [0, 1] for the recall of grounded captions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

_WORD = re.compile(r"\w+")
_ARTICLES = frozenset(("a", "an", "the"))


class TextSimilarity(Protocol):
    """Compares phrases. ``name`` travels with every number it made."""

    name: str

    def matrix(self, first: Sequence[str], second: Sequence[str]) -> npt.NDArray[np.float64]:
        """Similarities (len(first), len(second)) in [0, 1]."""


class TokenF1:
    """F1 of the words two phrases share, without articles: needs no download and no model."""

    name = "token-f1"

    def matrix(self, first: Sequence[str], second: Sequence[str]) -> npt.NDArray[np.float64]:
        """Similarities (len(first), len(second)) in [0, 1]."""
        ours, theirs = [_words(phrase) for phrase in first], [_words(phrase) for phrase in second]
        table = [[_f1(a, b) for b in theirs] for a in ours]
        return np.asarray(table, dtype=np.float64).reshape(len(first), len(second))


def _words(phrase: str) -> Counter[str]:
    words = _WORD.findall(phrase.casefold())
    return Counter([word for word in words if word not in _ARTICLES] or words)


def _f1(first: Counter[str], second: Counter[str]) -> float:
    shared = (first & second).total()
    return 2 * shared / (first.total() + second.total()) if shared else 0.0
