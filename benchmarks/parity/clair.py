"""CLAIR: reading of a model's replies, when it is asked again, and what it is asked."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.metrics import clair
from benchmarks.parity.golden import Golden, Row


def check_clair(folder: Path) -> list[Row]:
    """Single replies, sequences of replies, and the prompt."""
    content = Golden(folder, "clair").content
    replies, sequences = Row("CLAIR replies"), Row("CLAIR sequences of replies")
    for case in content["cases"]:
        _compare(replies, itertools.repeat(case["reply"]), case["expected"])
    for case in content["sequences"]:
        _compare(sequences, case["replies"], case["expected"])
    return [replies, sequences, _prompt(content["prompt_example"])]


def _compare(row: Row, replies: Iterable[str], expected: Mapping[str, Any]) -> None:
    given, calls = iter(replies), 0

    def ask() -> str:
        nonlocal calls
        calls += 1
        return next(given)

    try:
        rating: clair.Rating | None = clair.rate_official(ask)
        failure = None
    except (TypeError, ValueError) as error:
        rating, failure = None, type(error).__name__
    row.same(failure, expected["exception"])
    row.same(calls, expected["n_calls"])
    row.same(rating is None, expected["score"] is None)
    if rating is not None and expected["score"] is not None:
        row.add(rating.score, expected["score"])
    row.same(rating and rating.reason, expected["reason"])


def _prompt(example: Mapping[str, Any]) -> Row:
    row = Row("CLAIR prompt")
    asked = clair.messages(example["candidates"], example["targets"])
    text = asked[-1]["content"]
    row.same([message["role"] for message in asked], example["roles"])
    row.same(len(text), example["user_prompt_chars"])
    row.same(hashlib.sha256(text.encode()).hexdigest(), example["user_prompt_sha256"])
    row.same(clair.OFFICIAL_MODEL, example["model"])
    row.each(clair.SAMPLING, {key: example[key] for key in clair.SAMPLING})
    return row
