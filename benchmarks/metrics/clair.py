"""CLAIR: a language model behind an OpenAI-compatible endpoint rates a caption against its reference.

Reading of replies as in VideoGLaMM's ``utils/clair.py`` (6b15b1e); the prompt is our own wording.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from benchmarks.disk import Memory
from grounding_core.errors import GroundingError

TRIES = 3
TIMEOUT = 60.0
NO_REASON = "Unknown"
_NUMBER = re.compile(r"\d*\.?\d+")
_REASON = re.compile(r"reason([^\n]*)", re.IGNORECASE)

PROMPT = """\
Two captions of the same or of different videos are given.
Candidate: {candidate}
Reference: {reference}
How likely is it that both describe the same video? Answer in JSON with the keys "score" (a number from \
0 to 100) and "reason" (a string).
"""


@dataclass(frozen=True)
class Rating:
    """Score in [0, 1] (not enforced, as in the reference) and the model's reason."""

    score: float
    reason: str | None


def read_reply(reply: str) -> Rating | None:
    """The rating in a reply; None if there is no number in it.

    Raises:
        TypeError, ValueError: ``score`` is there but no number, as in the reference.
    """
    try:
        start = reply.index("{")
        content = json.loads(reply[start : reply.index("}", start) + 1])
        score = content["score"]
    except (ValueError, KeyError, TypeError):
        return _read_text(reply)
    reason = content.get("reason", NO_REASON)
    return Rating(float(score) / 100, None if reason is None else str(reason))


def _read_text(reply: str) -> Rating | None:
    found = _NUMBER.search(reply)
    if found is None:
        return None
    score = float(found.group())
    reason = _REASON.search(reply)
    text = reason.group(1).replace(":", "").strip() if reason else NO_REASON
    return Rating((score * 100 if score < 1 else score) / 100, text)


class Clair:
    """Asks an endpoint; remembers ratings on disk.

    Args:
        base_url: e.g. ``http://localhost:8000/v1``.
        model: name the endpoint knows.
        key: sent as a bearer token; may be empty.
        memory: JSON file of ratings.
    """

    def __init__(self, base_url: str, model: str, key: str, memory: Path) -> None:
        self.base_url = base_url.rstrip("/")
        self.model = model
        self._key = key
        self._memory = Memory(memory)

    @classmethod
    def from_environment(cls, memory: Path) -> Clair | None:
        """From ``OPENAI_BASE_URL``, ``CLAIR_MODEL`` and ``OPENAI_API_KEY``; None without the first two."""
        base_url, model = os.environ.get("OPENAI_BASE_URL"), os.environ.get("CLAIR_MODEL")
        if not base_url or not model:
            return None
        return cls(base_url, model, os.environ.get("OPENAI_API_KEY", ""), memory)

    def score(self, candidate: str, reference: str) -> Rating:
        """Rate one caption: up to three replies, then 0.

        Raises:
            GroundingError: the endpoint does not answer, or answers with an error.
        """
        key = hashlib.sha256(json.dumps([self.model, candidate, reference]).encode()).hexdigest()[:32]
        if key not in self._memory.known:
            rating = self._ask_until_read(PROMPT.format(candidate=candidate, reference=reference))
            self._memory.known[key] = [rating.score, rating.reason]
            self._memory.save()
        return Rating(*self._memory.known[key])

    def _ask_until_read(self, prompt: str) -> Rating:
        for _ in range(TRIES):
            try:
                rating = read_reply(self._ask(prompt))
            except (TypeError, ValueError):
                continue  # a score that is no number ends the reference's run; here it is asked again
            if rating is not None and math.isfinite(rating.score):
                return rating
        return Rating(0.0, None)

    def _ask(self, prompt: str) -> str:
        body = {"model": self.model, "temperature": 0, "messages": [{"role": "user", "content": prompt}]}
        request = urllib.request.Request(
            f"{self.base_url}/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                content = json.load(response)["choices"][0]["message"]["content"]
        except (OSError, urllib.error.URLError, KeyError, IndexError, ValueError) as error:
            raise GroundingError(
                f"CLAIR's endpoint {self.base_url} failed: {error}.", "Check OPENAI_BASE_URL, or unset it."
            ) from error
        return str(content)
