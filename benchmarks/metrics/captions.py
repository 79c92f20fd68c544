"""METEOR 1.5 and CIDEr-D on PTB tokens: the official programs that pycocoevalcap ships.

The Java programs are called here rather than through pycocoevalcap's wrappers, which need ``java`` on
the PATH, write into their own package folder and can block on a full error pipe.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.disk import Memory
from benchmarks.metrics.java import find_java, package_folder
from grounding_core.errors import GroundingError

FloatArray = npt.NDArray[np.float64]
Pair = tuple[str, tuple[str, ...]]
"""A candidate and its references."""

MAX_CHARACTERS = 2000
"""VideoGLaMM cuts candidate and reference to this before it tokenises."""

DROPPED_TOKENS = frozenset(
    ("''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";")
)

_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_MODULE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
"""METEOR 1.5's English parameters; modules are exact, stem, synonym, paraphrase."""

METEOR_FIELDS = 23
_LINE_BREAKS = re.compile("[\n\r\v\f\u2028\u2029]")


def tokenize(texts: Sequence[str]) -> list[str]:
    """Tokens of each text, joined by blanks, punctuation dropped (Stanford PTB tokenizer 3.4.1, lower case).

    Any line break is a blank: the official wrapper replaces only ``\\n``, and every other kind shifts all
    captions behind it by one.

    Raises:
        GroundingError: Java or pycocoevalcap is missing, or the tokenizer failed.
    """
    if not texts:
        return []
    jar = package_folder("tokenizer") / "stanford-corenlp-3.4.1.jar"
    command = ["-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    options = ["-preserveLines", "-lowerCase", "-encoding", "utf-8"]
    lines = _java([*command, *options], [_LINE_BREAKS.sub(" ", text) for text in texts])
    if len(lines) < len(texts):
        raise GroundingError(
            f"The PTB tokenizer returned {len(lines)} of {len(texts)} captions.", "Run again."
        )
    return [
        " ".join(token for token in line.rstrip().split(" ") if token not in DROPPED_TOKENS)
        for line in lines[: len(texts)]
    ]


def _java(arguments: Sequence[str], lines: Sequence[str]) -> list[str]:
    """What a Java program that reads lines prints, split at ``\\n`` only."""
    ran = subprocess.run(
        [find_java(), *arguments], input=("\n".join(lines) + "\n").encode(), capture_output=True, check=False
    )
    if ran.returncode != 0:
        reason = " ".join(ran.stderr.decode("utf-8", "replace").split())[-300:]
        raise GroundingError(f"Java failed with code {ran.returncode}: {reason}.", "Check the Java runtime.")
    return ran.stdout.decode("utf-8").split("\n")


class CaptionScorer:
    """METEOR and CIDEr of many candidates; remembers METEOR's alignments on disk.

    METEOR reads its tables for several seconds before its first caption, so all pairs should go in at once.

    Args:
        memory: JSON file of alignments; None keeps none.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = Memory(memory)

    def prepare(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs cut and tokenised, which is how the metrics below want them."""
        texts = [
            text[:MAX_CHARACTERS] for candidate, references in pairs for text in (candidate, *references)
        ]
        unique = list(dict.fromkeys(texts))
        tokens = dict(zip(unique, tokenize(unique), strict=True))
        remaining = iter(texts)
        return [
            (tokens[next(remaining)], tuple(tokens[next(remaining)] for _ in references))
            for _, references in pairs
        ]

    def meteor_statistics(self, pairs: Sequence[Pair]) -> FloatArray:
        """METEOR's counts (n, 23) of tokenised pairs, in the order in which the jar prints them."""
        keys = [_key(pair) for pair in pairs]
        known = self._memory.known
        missing = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in known}
        if missing:
            known.update(_run_meteor(missing))
            self._memory.save()
        return np.array([known[key] for key in keys], dtype=np.float64).reshape(-1, METEOR_FIELDS)

    def cider(self, pairs: Sequence[Pair]) -> FloatArray:
        """CIDEr-D (n,) of tokenised pairs; document frequencies come from these very references."""
        if not pairs:
            return np.zeros(0)
        scorer = import_module("pycocoevalcap.cider.cider").Cider()
        truth = {index: list(references) for index, (_, references) in enumerate(pairs)}
        candidates = {index: [candidate] for index, (candidate, _) in enumerate(pairs)}
        return np.asarray(scorer.compute_score(truth, candidates)[1], dtype=np.float64)


def _key(pair: Pair) -> str:
    return hashlib.sha256("\n".join([pair[0], *pair[1]]).encode()).hexdigest()[:32]


def _run_meteor(pairs: Mapping[str, Pair]) -> dict[str, list[float]]:
    jar = package_folder("meteor") / "meteor-1.5.jar"
    lines = [
        f"SCORE ||| {' ||| '.join(references)} ||| {candidate.replace('|||', '').replace('  ', ' ')}"
        for candidate, references in pairs.values()
    ]
    printed = _java(["-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"], lines)
    rows = [[float(number) for number in line.split()] for line in printed[: len(lines)]]
    if len(rows) != len(pairs) or any(len(row) != METEOR_FIELDS for row in rows):
        raise GroundingError("METEOR's program printed something unexpected.", "Check the Java runtime.")
    return dict(zip(pairs, rows, strict=True))


def meteor_counts(statistics: FloatArray) -> FloatArray:
    """Counts (n, 23) as METEOR adds them up: a perfectly matched sentence adds no chunk."""
    counts: FloatArray = statistics.copy()
    lengths, chunks, matches = statistics[:, 0:2], statistics[:, 20], statistics[:, 21:23]
    perfect = (chunks == 1) & (matches == lengths).all(axis=1)
    counts[perfect, 20] = 0.0
    return counts


def meteor_score(counts: FloatArray) -> FloatArray:
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
        score = mean * (1 - _GAMMA * fragmentation**_BETA)
    return np.asarray(np.nan_to_num(score, nan=0.0, posinf=0.0, neginf=0.0))
