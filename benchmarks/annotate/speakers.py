"""Who is asked to write: an OpenAI-compatible endpoint, or a language model of a plugin."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.annotate.items import digest
from benchmarks.metrics.endpoint import Endpoint, Usage
from grounding_core.config import validation_problems
from grounding_core.errors import DataError, RecipeError
from grounding_core.plugins import registry

Message = Mapping[str, Any]
"""``role`` and ``content``, as chat endpoints take them; the content is text, or parts with pictures."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EndpointOptions(_Strict):
    """An OpenAI-compatible chat endpoint; its key is read from ``OPENAI_API_KEY``."""

    type: Literal["endpoint"]
    base_url: str = Field(description="E.g. http://localhost:8000/v1.")
    model: str = Field(description="Name the endpoint knows.")
    price: tuple[float, float] | None = Field(
        default=None, description="Of a million prompt and reply tokens, for the cost in the manifest."
    )
    timeout: float = Field(default=60.0, gt=0, description="Seconds to wait for one answer.")
    pause: float = Field(default=1.0, ge=0, description="Seconds before a failed request is sent again.")
    pictures: bool = Field(default=True, description="Whether the model takes pictures.")
    temperature: float = Field(default=0.2, ge=0, description="Of its answers.")
    max_tokens: int = Field(default=400, ge=1, description="Most tokens of an answer.")


class LanguageModelOptions(_Strict):
    """A language model of a plugin; it reads text alone."""

    type: Literal["language_model"]
    model: Mapping[str, Any] = Field(description="As in a recipe: its type and its options.")
    max_tokens: int = Field(default=400, ge=1, description="Most tokens of an answer.")


SpeakerOptions = Annotated[EndpointOptions | LanguageModelOptions, Field(discriminator="type")]


class Speaker(Protocol):
    """Answers messages.

    Attributes:
        name: of the model, for provenance.
        pictures: whether it takes pictures.
    """

    name: str
    pictures: bool

    def ask(self, messages: Sequence[Message]) -> tuple[str, Usage]:
        """The answer, and what it cost."""


class _Asked:
    def __init__(self, options: EndpointOptions) -> None:
        self.name, self.pictures = options.model, options.pictures
        self._sampling = {"temperature": options.temperature, "max_tokens": options.max_tokens}
        self._endpoint = Endpoint(
            options.base_url,
            options.model,
            os.environ.get("OPENAI_API_KEY", ""),
            options.price,
            options.timeout,
            options.pause,
        )

    def ask(self, messages: Sequence[Message]) -> tuple[str, Usage]:
        return self._endpoint.ask(messages, self._sampling)


class _Generating:
    """A language model on this machine; built when it is first asked."""

    pictures = False

    def __init__(self, options: LanguageModelOptions) -> None:
        self._options = options
        self.name = str(options.model.get("type"))
        self._model: Any = None

    def ask(self, messages: Sequence[Message]) -> tuple[str, Usage]:
        import torch

        model = self._model = self._model or self._build()
        prompt = "\n\n".join(str(message["content"]) for message in messages) + "\n\n"
        with torch.inference_mode():
            prefix = (
                model.prefix([model.start_ids]) if model.start_ids else model.prefix([model.tokenize("\n")])
            )
            asked = model.tokenize(prompt)
            made = model.generate(prefix, [asked], max_new_tokens=self._options.max_tokens)
        return model.detokenize(made.ids[0]), Usage(1, len(asked), len(made.ids[0]))

    def _build(self) -> Any:
        options = dict(self._options.model)
        component = registry().load("language_model", str(options.pop("type", "")))
        try:
            config = component.Config.model_validate(options)
        except ValidationError as error:
            raise RecipeError("annotation", validation_problems(error, "model")) from error
        return component(config, special_tokens=[], norm="after").eval()


_SPEAKERS: Mapping[type, type] = {EndpointOptions: _Asked, LanguageModelOptions: _Generating}


def speaker(options: SpeakerOptions) -> Speaker:
    """The speaker with these options."""
    found: Speaker = _SPEAKERS[type(options)](options)
    return found


@dataclass(frozen=True)
class Reply:
    """An answer and how it came about.

    Attributes:
        key: what it is kept under.
        text: the answer.
        model: who gave it.
        seconds: how long it took, when it was first given.
        usage: what it cost then.
    """

    key: str
    text: str
    model: str
    seconds: float
    usage: Usage


class Replies:
    """Asks, and keeps every answer on disk at once: the same question is never paid for twice.

    Args:
        path: JSON lines; a last one torn by a kill is asked again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Reply] = {}
        kept = path.read_text(encoding="utf-8") if path.is_file() else ""
        self._torn = bool(kept) and not kept.endswith("\n")
        for raw in kept.split("\n"):
            try:
                line = json.loads(raw)
            except ValueError:
                continue
            usage = Usage(line["calls"], line["prompt_tokens"], line["reply_tokens"])
            self._known[line["key"]] = Reply(line["key"], line["text"], line["model"], line["seconds"], usage)

    def ask(self, who: Speaker, messages: Sequence[Message]) -> Reply:
        """The answer to messages, kept or new.

        Raises:
            GroundingError: nobody answers, or the disk refuses.
        """
        key = digest([who.name, list(messages)])
        if key not in self._known:
            begun = time.monotonic()
            text, usage = who.ask(messages)
            reply = Reply(key, text, who.name, round(time.monotonic() - begun, 3), usage)
            line = {"key": key, "text": text, "model": reply.model, "seconds": reply.seconds, **vars(usage)}
            self._append(line)
            self._known[key] = reply
        return self._known[key]

    def _append(self, line: dict[str, Any]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as handle:
                handle.write(("\n" if self._torn else "") + json.dumps(line, ensure_ascii=False) + "\n")
            self._torn = False
        except OSError as error:
            raise DataError(
                f"Can't write {self._path}: {error.strerror or error}.", "Free some space."
            ) from error
