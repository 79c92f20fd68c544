"""Tokens of captions: the Stanford PTB tokenizer 3.4.1 that pycocoevalcap ships."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.metrics.java import package_folder, run_java
from grounding_core.errors import GroundingError

DROPPED = frozenset(
    ("''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";")
)

_LINE_BREAKS = re.compile("[\n\r\v\f\u2028\u2029]")


def tokenize(texts: Sequence[str]) -> list[str]:
    """Tokens of each text, joined by blanks, in lower case and without punctuation.

    Any line break is a blank.

    Raises:
        GroundingError: Java or pycocoevalcap is missing, or the tokenizer failed.
    """
    return _tokenize([_LINE_BREAKS.sub(" ", text) for text in texts])


def tokenize_official(texts: Sequence[str]) -> list[str]:
    """As pycocoevalcap 1.2 does it, which takes only ``\\n`` for a line break.

    Every other kind starts a new line, so that all captions behind it are shifted by one.

    Raises:
        GroundingError: as `tokenize`.
    """
    return _tokenize([text.replace("\n", " ") for text in texts])


def _tokenize(lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    jar = package_folder("tokenizer") / "stanford-corenlp-3.4.1.jar"
    command = ["-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    printed = run_java([*command, "-preserveLines", "-lowerCase", "-encoding", "utf-8"], lines)
    if len(printed) < len(lines):
        raise GroundingError(
            f"The PTB tokenizer returned {len(printed)} of {len(lines)} captions.", "Run again."
        )
    return [
        " ".join(token for token in line.rstrip().split(" ") if token not in DROPPED)
        for line in printed[: len(lines)]
    ]
