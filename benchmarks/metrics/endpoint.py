"""Asks any OpenAI-compatible chat endpoint, and asks again where that may help."""

from __future__ import annotations

import json
import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from grounding_core.errors import GroundingError

ATTEMPTS = 6
LONGEST_PAUSE = 60.0
_MOST_BYTES = 1 << 22
_WORTH_ANOTHER = frozenset((408, 409, 425, 429))


@dataclass(frozen=True)
class Usage:
    """Answered requests, and tokens as the endpoint counts them."""

    calls: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.reply_tokens + other.reply_tokens,
        )


class _Unanswered(Exception):
    """Asking again may help; ``pause`` is how long the endpoint wants us to wait."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass(frozen=True)
class Endpoint:
    """A model behind a base URL.

    Attributes:
        base_url: e.g. ``http://localhost:8000/v1``.
        model: name the endpoint knows.
        key: sent as a bearer token; none if empty.
        price: of a million prompt tokens and of a million reply tokens, in any currency; None if unknown.
        timeout: seconds to wait for one answer.
        pause: seconds before the second attempt; doubled before each further one.
        remedy: what to do when it refuses.
    """

    base_url: str
    model: str
    key: str = ""
    price: tuple[float, float] | None = None
    timeout: float = 60.0
    pause: float = 1.0
    sleep: Callable[[float], None] = time.sleep
    remedy: str = "Check OPENAI_BASE_URL, OPENAI_API_KEY and CLAIR_MODEL."

    @classmethod
    def from_environment(cls) -> Endpoint | None:
        """From ``OPENAI_BASE_URL``, ``CLAIR_MODEL``, ``OPENAI_API_KEY`` and ``CLAIR_PRICE`` (``0.5,1.5``).

        None without the first two.

        Raises:
            GroundingError: the price is not two numbers.
        """
        base_url, model = os.environ.get("OPENAI_BASE_URL"), os.environ.get("CLAIR_MODEL")
        if not base_url or not model:
            return None
        price, given = None, os.environ.get("CLAIR_PRICE")
        if given:
            try:
                prompt, reply = (float(part) for part in given.split(","))
            except ValueError as error:
                raise GroundingError(
                    f"CLAIR_PRICE is {given!r}.",
                    "Give the prices of a million prompt and reply tokens: 0.5,1.5",
                ) from error
            price = prompt, reply
        return cls(base_url, model, os.environ.get("OPENAI_API_KEY", ""), price)

    def cost(self, usage: Usage) -> float | None:
        """What requests cost; None without prices."""
        if self.price is None:
            return None
        return (usage.prompt_tokens * self.price[0] + usage.reply_tokens * self.price[1]) / 1e6

    def ask(self, messages: Sequence[Mapping[str, Any]], sampling: Mapping[str, Any]) -> tuple[str, Usage]:
        """The model's reply.

        Too many requests, server errors, time-outs, lost connections and answers that are no JSON are asked
        again, with growing random pauses or the one the endpoint asks for.

        Raises:
            GroundingError: the endpoint refuses, or does not answer after several attempts.
        """
        body = json.dumps({"model": self.model, "messages": list(messages), **sampling}).encode()
        pause = self.pause
        for attempt in range(ATTEMPTS):
            try:
                return _read(self._send(body))
            except _Unanswered as failure:
                if attempt + 1 == ATTEMPTS:
                    raise GroundingError(
                        f"The endpoint {self.base_url} failed {ATTEMPTS} times, at last with: {failure}.",
                        "Run again later: what was answered is kept.",
                    ) from failure
                # A random share keeps many callers from coming back at once.
                self.sleep(min(max(failure.pause, pause * random.uniform(0.5, 1.0)), LONGEST_PAUSE))
                pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _send(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        try:
            request = urllib.request.Request(
                f"{self.base_url.rstrip('/')}/chat/completions", data=body, headers=headers
            )
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return bytes(response.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            if error.code in _WORTH_ANOTHER or error.code >= 500:
                raise _Unanswered(f"HTTP {error.code}", _seconds(error.headers.get("Retry-After"))) from error
            raise GroundingError(
                f"The endpoint {self.base_url} refuses with HTTP {error.code}: {_excerpt(error)}.",
                self.remedy,
            ) from error
        except (OSError, HTTPException) as error:
            raise _Unanswered(str(error) or type(error).__name__) from error
        except ValueError as error:
            raise GroundingError(f"{self.base_url!r} is no URL: {error}.", self.remedy) from error


def _read(answer: bytes) -> tuple[str, Usage]:
    try:
        content = json.loads(answer)
        reply = content["choices"][0]["message"]["content"] or ""
        counts = content.get("usage") or {}
        spent = Usage(1, int(counts.get("prompt_tokens", 0)), int(counts.get("completion_tokens", 0)))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise _Unanswered(f"an answer that can't be read ({type(error).__name__}: {error})") from error
    return str(reply), spent


def _seconds(retry_after: str | None) -> float:
    """Only the form in seconds is used; a date gives 0."""
    try:
        return max(float(retry_after or 0), 0.0)
    except ValueError:
        return 0.0


def _excerpt(error: urllib.error.HTTPError) -> str:
    return " ".join(error.read(500).decode("utf-8", "replace").split())
