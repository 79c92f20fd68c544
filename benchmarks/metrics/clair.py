"""CLAIR (Chan et al. 2023): a language model rates a caption against its references.

The prompt is the one published with the metric, and replies are read as VideoGLaMM's ``utils/clair.py``
(6b15b1e) reads them. Who is asked is the business of `benchmarks.metrics.endpoint`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from benchmarks.metrics.endpoint import Endpoint, Usage
from grounding_core.errors import DataError

TRIES = 3
"""Replies without a number before the score is 0."""

MAX_CHARACTERS = 2000
"""VideoGLaMM cuts candidate and reference to this."""

SYSTEM = "You are a helpful assistant."
SAMPLING = {"max_tokens": 100, "temperature": 0.5}
OFFICIAL_MODEL = "gpt-3.5-turbo"
NO_REASON = "Unknown"

_PROMPT = """\
You are trying to tell if a candidate set of captions is describing the same image as a reference \
set of captions.
Candidate set:
{candidates}
Reference set:
{references}
On a precise scale from 0 to 100, how likely is it that the candidate set is describing the same \
image as the reference set? (JSON format, with a key "score", value between 0 and 100, and a key \
"reason" with a string value.)
"""

_NUMBER = re.compile(r"\d*\.?\d+")
_REASON = re.compile(r"reason([^\n]*)", re.IGNORECASE)


def prompt(candidates: Sequence[str], references: Sequence[str]) -> str:
    """What the model is asked."""
    return _PROMPT.format(candidates=_listed(candidates), references=_listed(references))


def _listed(captions: Sequence[str]) -> str:
    return "".join(f"- {caption}\n" for caption in captions)


def messages(candidates: Sequence[str], references: Sequence[str]) -> list[dict[str, str]]:
    """The conversation, in the form of an OpenAI-compatible endpoint."""
    asked = prompt(candidates, references)
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}]


@dataclass(frozen=True)
class Rating:
    """Score in [0, 1] (not enforced, as in the reference) and the model's reason, whatever that is."""

    score: float
    reason: Any


NO_RATING = Rating(0.0, None)


def read_reply(reply: str) -> Rating | None:
    """The rating in a reply; None if there is no number in it.

    What stands between the first ``{`` and the next brace is read as JSON, else the first number in the
    text is taken.

    Raises:
        TypeError, ValueError: ``score`` is there but no number, as in the reference.
    """
    try:
        content = json.loads("{" + reply.split("{")[1].split("}")[0] + "}")
        score = content["score"]
    except (json.JSONDecodeError, KeyError, IndexError):
        return _read_text(reply)
    return Rating(float(score) / 100, content.get("reason", NO_REASON))


def _read_text(reply: str) -> Rating | None:
    found = _NUMBER.search(reply)
    if found is None:
        return None
    score = float(found.group())
    reason = _REASON.search(reply)
    text = reason.group(1).replace(":", "").strip() if reason else NO_REASON
    return Rating((score * 100 if score < 1 else score) / 100, text)


def rate_official(ask: Callable[[], str]) -> Rating:
    """The first reply with a number in it, of three at most; then 0.

    Raises:
        TypeError, ValueError: a reply's score is no number. Upstream that ends the whole evaluation.
    """
    for _ in range(TRIES):
        rating = read_reply(ask())
        if rating is not None:
            return rating
    return NO_RATING


def rate(ask: Callable[[], str]) -> Rating:
    """As `rate_official`, but a score that is no finite number is asked for again."""
    for _ in range(TRIES):
        try:
            rating = read_reply(ask())
        except (TypeError, ValueError):
            continue
        if rating is not None and math.isfinite(rating.score):
            return rating
    return NO_RATING


@dataclass(frozen=True)
class _Kept:
    """A rating and what it cost."""

    rating: Rating
    usage: Usage


class Clair:
    """Rates captions through an endpoint, several at a time; every rating is kept on disk at once.

    Args:
        endpoint: who is asked.
        folder: where ratings are kept, one JSON line each.
        workers: how many questions are open at a time.
    """

    def __init__(self, endpoint: Endpoint, folder: Path, workers: int = 8) -> None:
        self.endpoint = endpoint
        self.usage = Usage()
        """What all ratings given so far cost, when they were made."""
        self._path = folder / "clair.jsonl"
        self._workers = workers
        self._lock = Lock()
        self._known = self._read()

    def scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score of each candidate against its reference.

        Raises:
            GroundingError: the endpoint does not answer; what it had answered is kept.
        """
        keys = {pair: self._key(pair) for pair in pairs}
        missing = {key: pair for pair, key in keys.items() if key not in self._known}
        with ThreadPoolExecutor(self._workers) as pool:
            jobs = [pool.submit(self._rate, key, pair) for key, pair in missing.items()]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        for key in dict.fromkeys(keys.values()):
            self.usage += self._known[key].usage
        return [self._known[keys[pair]].rating.score for pair in pairs]

    def _rate(self, key: str, pair: tuple[str, str]) -> None:
        candidate, reference = (text[:MAX_CHARACTERS] for text in pair)
        spent = Usage()

        def ask() -> str:
            nonlocal spent
            reply, cost = self.endpoint.ask(messages([candidate], [reference]), SAMPLING)
            spent += cost
            return reply

        rating = rate(ask)
        line = {"key": key, "score": rating.score, "reason": rating.reason, **vars(spent)}
        with self._lock:
            self._known[key] = _Kept(rating, spent)
            self._append(line)

    def _append(self, line: dict[str, Any]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as handle:
                if handle.tell():
                    handle.seek(-1, os.SEEK_END)
                    if handle.read(1) != b"\n":  # torn by a kill: else the new line would be lost with it
                        handle.write(b"\n")
                handle.write(json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise DataError(
                f"Can't write {self._path}: {error.strerror or error}.",
                "Free some space, or name another --out.",
            ) from error

    def _key(self, pair: tuple[str, str]) -> str:
        content = json.dumps([self.endpoint.model, SAMPLING, *pair])
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def _read(self) -> dict[str, _Kept]:
        if not self._path.is_file():
            return {}
        known = {}
        for raw in self._path.read_text(encoding="utf-8").split("\n"):
            try:
                line = json.loads(raw)
            except ValueError:
                continue  # torn by a kill: its caption is rated again
            usage = Usage(line["calls"], line["prompt_tokens"], line["reply_tokens"])
            known[line["key"]] = _Kept(Rating(line["score"], line["reason"]), usage)
        return known
