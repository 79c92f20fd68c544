"""Who is asked to write: an OpenAI-compatible endpoint, or a language model of a plugin."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pydantic import Field

from benchmarks.annotate.steps import Step, configured
from benchmarks.metrics.endpoint import Endpoint, Usage
from grounding_core.config import Part
from grounding_core.errors import GroundingError
from grounding_core.interfaces.component import ComponentConfig

Message = Mapping[str, Any]
"""``role`` and ``content``, as chat endpoints take them; the content is text, or parts with pictures."""


KEY = "OPENAI_API_KEY"


class EndpointOptions(ComponentConfig):
    """An OpenAI-compatible chat endpoint; its key is read from ``OPENAI_API_KEY``."""

    base_url: str = Field(description="E.g. http://localhost:8000/v1.")
    model: str = Field(description="Name the endpoint knows.")
    price: tuple[float, float] | None = Field(
        default=None, description="Of a million prompt and reply tokens, for the cost in the manifest."
    )
    timeout: float = Field(default=60.0, gt=0, description="Seconds to wait for one answer.")
    pause: float = Field(default=1.0, ge=0, description="Seconds before a failed request is sent again.")
    per_minute: float | None = Field(
        default=None, gt=0, description="Most questions a minute; null: as many as it answers."
    )
    most_calls: int | None = Field(
        default=None, ge=1, description="Questions after which a run stops, to go on when it is run again."
    )
    most_cost: float | None = Field(
        default=None, gt=0, description="Cost by `price` after which a run stops, likewise."
    )
    pictures: bool = Field(default=True, description="Whether the model takes pictures.")
    temperature: float = Field(default=0.2, ge=0, description="Of its answers.")
    max_tokens: int = Field(default=400, ge=1, description="Most tokens of an answer.")


class LanguageModelOptions(ComponentConfig):
    """A language model of a plugin; it reads text alone."""

    model: Part = Field(description="As in a recipe: its type and its options.")
    system: str = Field(default="{text}\n\n", description="How its chat template writes instructions.")
    user: str = Field(default="{text}\n\n", description="How it writes a question.")
    assistant: str = Field(default="{text}\n\n", description="How it writes an earlier answer.")
    start: str = Field(default="", description="What comes before the answer that it is to write.")
    max_tokens: int = Field(default=400, ge=1, description="Most tokens of an answer.")


class Speaker(Protocol):
    """Answers messages.

    Attributes:
        name: of the model, for provenance.
        pictures: whether it takes pictures.
    """

    name: str
    pictures: bool

    @property
    def facts(self) -> Mapping[str, Any]:
        """What its answers depend on beside the question."""

    def ask(self, messages: Sequence[Message]) -> tuple[str, Usage]:
        """The answer, and what it took.

        Raises:
            GroundingError: nobody answers, or a limit is reached.
        """

    def cost(self, usage: Usage) -> float | None:
        """What that cost; None where nobody says."""


class Asked:
    """A model behind an endpoint, within the limits that the recipe sets."""

    def __init__(self, options: EndpointOptions) -> None:
        self.name, self.pictures = options.model, options.pictures
        self._options = options
        self._sampling = {"temperature": options.temperature, "max_tokens": options.max_tokens}
        self._endpoint = Endpoint(
            options.base_url,
            options.model,
            os.environ.get(KEY, ""),
            options.price,
            options.timeout,
            options.pause,
            remedy=f"Check base_url and model in the recipe, and {KEY}.",
        )
        self._spent = Usage()
        self._next = 0.0

    @property
    def facts(self) -> Mapping[str, Any]:
        """The model and its sampling, wherever it is."""
        return {"model": self.name, **self._sampling}

    def ask(self, messages: Sequence[Message]) -> tuple[str, Usage]:
        """The endpoint's answer; waits where it must not be asked so often."""
        self._within()
        if self._options.per_minute is not None:
            time.sleep(max(self._next - time.monotonic(), 0.0))
            self._next = time.monotonic() + 60.0 / self._options.per_minute
        text, usage = self._endpoint.ask(messages, self._sampling)
        self._spent += usage
        return text, usage

    def cost(self, usage: Usage) -> float | None:
        """By the recipe's price."""
        return self._endpoint.cost(usage)

    def _within(self) -> None:
        calls, cost = self._options.most_calls, self._options.most_cost
        spent = self.cost(self._spent) or 0.0
        if (calls is not None and self._spent.calls >= calls) or (cost is not None and spent >= cost):
            raise GroundingError(
                f"{self.name} was asked {self._spent.calls} times (cost {spent:.4f}): the limit of a run.",
                "Run the same command again to go on, or raise most_calls or most_cost in the recipe.",
            )


class Generating:
    """A language model on this machine; built when it is first asked."""

    pictures = False

    def __init__(self, options: LanguageModelOptions) -> None:
        self._options = options
        self.name = str(options.model.options.get("weights") or options.model.type)
        component, config = configured("language_model", options.model, "model")
        self._build: Callable[[], Any] = lambda: component(config, special_tokens=[], norm="after").eval()
        self._model: Any = None

    @property
    def facts(self) -> Mapping[str, Any]:
        """All its options."""
        return self._options.model_dump(mode="json")

    def ask(self, messages: Sequence[Message]) -> tuple[str, Usage]:
        import torch

        model = self._model = self._model or self._build()
        templates = self._options.model_dump()
        turns = [templates[turn["role"]].replace("{text}", str(turn["content"])) for turn in messages]
        prompt = "".join(turns) + self._options.start
        with torch.inference_mode():
            prefix = (
                model.prefix([model.start_ids]) if model.start_ids else model.prefix([model.tokenize("\n")])
            )
            asked = model.tokenize(prompt)
            made = model.generate(prefix, [asked], max_new_tokens=self._options.max_tokens)
        return model.detokenize(made.ids[0]), Usage(1, len(asked), len(made.ids[0]))

    def cost(self, usage: Usage) -> float | None:
        """Nobody is paid."""
        return None


class Spoken(Step):
    """A step whose words are a speaker's."""

    speaker: Speaker

    @property
    def by(self) -> str:
        """The model's name."""
        return self.speaker.name
