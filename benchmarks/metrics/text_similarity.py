"""How alike two phrases are, for the recall of grounded captions (plugins: kind ``text_similarity``)."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from grounding_core.errors import DataError, GroundingError
from grounding_core.plugins import registry

DEFAULT = "token-f1"

_WORD = re.compile(r"\w+")
_ARTICLES = frozenset(("a", "an", "the"))


class TextSimilarity(ABC):
    """Compares phrases.

    Class attributes:
        name: what commands and reports call it; it travels with every number it made.

    Args:
        source: hub id or folder of weights; None takes its own. Refused where there are no weights.
    """

    name: ClassVar[str]

    def __init__(self, source: str | None = None) -> None:
        self.source = source

    @property
    def described(self) -> str:
        """Name and weights, for the report."""
        return self.name if self.source is None else f"{self.name} ({self.source})"

    @abstractmethod
    def matrix(self, first: Sequence[str], second: Sequence[str]) -> npt.NDArray[np.float64]:
        """Similarities (len(first), len(second)); 1 is the same."""


def load_similarity(spec: str) -> TextSimilarity:
    """A text similarity by ``name`` or ``name:source``, e.g. ``bert:/models/bert-base-uncased``.

    Raises:
        GroundingError: the name is unknown, or what it needs is missing.
    """
    name, _, source = spec.partition(":")
    found: TextSimilarity = registry().load("text_similarity", name)(source or None)
    return found


class TokenF1(TextSimilarity):
    """F1 of the words two phrases share, without articles: needs no download and no model."""

    name: ClassVar[str] = DEFAULT

    def __init__(self, source: str | None = None) -> None:
        super().__init__(source)
        if source is not None:
            raise GroundingError(f"{self.name} has no weights, but {source!r} is named.", f"Say {self.name}.")

    def matrix(self, first: Sequence[str], second: Sequence[str]) -> npt.NDArray[np.float64]:
        """Similarities in [0, 1]."""
        ours, theirs = [_words(phrase) for phrase in first], [_words(phrase) for phrase in second]
        table = [[_f1(a, b) for b in theirs] for a in ours]
        return np.asarray(table, dtype=np.float64).reshape(len(first), len(second))


def _words(phrase: str) -> Counter[str]:
    words = _WORD.findall(phrase.casefold())
    return Counter([word for word in words if word not in _ARTICLES] or words)


def _f1(first: Counter[str], second: Counter[str]) -> float:
    shared = (first & second).total()
    return 2 * shared / (first.total() + second.total()) if shared else 0.0


class Bert(TextSimilarity):
    """Cosine of mean-pooled last hidden states of BERT-base-uncased: VideoGLaMM's own similarity.

    Each phrase is encoded by itself, so that its mean has no padding in it; the special tokens are part of
    it (``eval_gcg_metrics.py``, 6b15b1e). The model is loaded at the first comparison.
    """

    name: ClassVar[str] = "bert"
    OFFICIAL: ClassVar[str] = "bert-base-uncased"
    MAX_TOKENS: ClassVar[int] = 512

    def __init__(self, source: str | None = None) -> None:
        super().__init__(source or self.OFFICIAL)
        self._parts: tuple[Any, Any] | None = None
        self._known: dict[str, npt.NDArray[np.float32]] = {}

    def matrix(self, first: Sequence[str], second: Sequence[str]) -> npt.NDArray[np.float64]:
        """Cosines in [-1, 1].

        Raises:
            DataError: transformers, the weights or the network is missing.
        """
        if not first or not second:
            return np.zeros((len(first), len(second)))
        ours, theirs = (np.stack([self._embedding(phrase) for phrase in side]) for side in (first, second))
        return np.asarray(ours @ theirs.T, dtype=np.float64)

    def _embedding(self, phrase: str) -> npt.NDArray[np.float32]:
        """The phrase's direction (d,), of length 1."""
        if phrase not in self._known:
            import torch

            tokenizer, model = self._load()
            given = tokenizer(phrase, return_tensors="pt", max_length=self.MAX_TOKENS, truncation=True)
            with torch.inference_mode():
                states = model(**given).last_hidden_state[0]
            mean = states.float().mean(dim=0).numpy()
            self._known[phrase] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return self._known[phrase]

    def _load(self) -> tuple[Any, Any]:
        if self._parts is None:
            try:
                from transformers import AutoModel, AutoTokenizer

                tokenizer = AutoTokenizer.from_pretrained(self.source)
                model = AutoModel.from_pretrained(self.source, use_safetensors=True)
            except (ImportError, OSError, ValueError) as error:
                reason = " ".join(str(error).split())[:300]
                raise DataError(
                    f"The text similarity {self.described} can't be loaded: {reason}",
                    f"Name a folder with weights, as bert:FOLDER, or say --text-similarity {DEFAULT}.",
                ) from error
            self._parts = tokenizer, model.eval()
        return self._parts
