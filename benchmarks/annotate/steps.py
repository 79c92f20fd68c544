"""The steps of annotating, as components: what each is asked, and how its outcome is kept.

A recipe names one component for each step; plugins offer more (kinds ``object_source``, ``mask_maker``,
``object_describer``, ``composer``, ``questioner``, ``checker``). A component is constructed with its
validated ``Config``; ``version`` rises when the same options give other outcomes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import yaml
from pydantic import ValidationError

from benchmarks.annotate.items import Item, Source, Thing, View, digest
from benchmarks.datasets.markup import Caption
from benchmarks.disk import replace_text
from grounding_core.config import Part, validation_problems
from grounding_core.errors import DataError, RecipeError
from grounding_core.hookspecs import Kind
from grounding_core.interfaces.component import Configured
from grounding_core.interfaces.spatial_prompts import SpatialPrompts
from grounding_core.masks import MaskTrack
from grounding_core.plugins import registry
from grounding_core.video import Video

if TYPE_CHECKING:
    from benchmarks.annotate.speakers import Message, Speaker

STEPS: Mapping[str, Kind] = {
    "objects": "object_source",
    "masks": "mask_maker",
    "describer": "object_describer",
    "composer": "composer",
    "questions": "questioner",
    "checker": "checker",
}
"""Step of a recipe -> kind of component that does it."""


@dataclass(frozen=True)
class Where:
    """Where sources look.

    Attributes:
        data_root: folder above the data sets.
        frames: folder above the frames that a file names.
        most: frames of a video that are annotated.
    """

    data_root: Path | None = None
    frames: Path | None = None
    most: int = 64


@dataclass(frozen=True)
class Triplet:
    """A question about the video, and an answer that points.

    Attributes:
        form: what is asked for, e.g. ``where``.
        question: the words.
        answer: its spans name objects of the item; none where the answer is that there is none.
    """

    form: str
    question: str
    answer: Caption


@dataclass(frozen=True)
class Checked:
    """What a checker says of an answer.

    Attributes:
        caption: None if it can't be read.
        left: objects that it declares left out.
        problems: a sentence each; without any the caption can be used.
    """

    caption: Caption | None
    left: tuple[int, ...]
    problems: tuple[str, ...]


class Step(Configured):
    """What all steps have in common; those without options are made by this."""

    version: ClassVar[str] = "1"

    def __init__(self, config: Any) -> None:
        del config

    @property
    def by(self) -> str:
        """Who does it, for provenance."""
        return type(self).__name__


class ObjectSource(Protocol):
    """Says which videos there are and which objects are in them."""

    def find(self, source: str, where: Where) -> Source:
        """The videos that a user means.

        Raises:
            GroundingError: there are none, or they can't be read.
        """


class MaskMaker(Protocol):
    """Makes masks of boxes."""

    def tracks(self, video: Video, things: Sequence[Thing]) -> list[MaskTrack]:
        """One track an object, in their order, from ``thing.boxes``."""

    def redraw(self, video: Video, frame: int, prompts: SpatialPrompts) -> MaskTrack:
        """The track of the one object that prompts point at in a frame, in other frames too."""


class ObjectDescriber(Protocol):
    """Says what an object looks like and does."""

    def describe(self, thing: Thing, view: View, notes: Notes) -> str:
        """A sentence or phrase; empty if it has nothing to say."""


class Composer(Protocol):
    """Writes one caption of all objects, marked as ``[words](number)``."""

    def compose(
        self,
        item: Item,
        descriptions: Mapping[int, str],
        refused: Sequence[tuple[str, Sequence[str]]],
        notes: Notes,
    ) -> str:
        """The answer; ``refused`` holds earlier ones with what was wrong with them."""


class Questioner(Protocol):
    """Asks questions about a captioned video, and answers them."""

    def ask(self, item: Item, caption: Caption, view: View, checker: Checker, notes: Notes) -> list[Triplet]:
        """Questions and answers whose spans name objects of the item."""


class Checker(Protocol):
    """Reads an answer and says what is wrong with it."""

    def check(self, answer: str, item: Item, view: View, *, all_named: bool = True) -> Checked:
        """What the answer says.

        Args:
            answer: as it was written.
            item: what it is about.
            view: the video and its masks.
            all_named: whether every object must be mentioned or declared left out.
        """


def build(step: str, part: Part) -> Any:
    """The component that a recipe names for a step, with ``part`` to tell it apart.

    Raises:
        PluginError: nobody offers it.
        RecipeError: its options are wrong.
    """
    return component(STEPS[step], part, step)


def component(kind: Kind, part: Part, path: str) -> Any:
    """A component of any kind that is constructed with its ``Config`` alone; see `configured`."""
    found, config = configured(kind, part, path)
    return found(config)


def configured(kind: Kind, part: Part, path: str) -> tuple[Any, Any]:
    """A component's class and its validated ``Config``; ``path`` is where in the recipe it is named.

    Raises:
        PluginError: nobody offers it.
        RecipeError: its options are wrong.
    """
    found = registry().load(kind, part.type)
    try:
        return found, found.Config.model_validate(part.options)
    except ValidationError as error:
        raise RecipeError("annotation", validation_problems(error, path)) from error


def part_of(text: str, option: str) -> Part:
    """A component that a user names in YAML on the command line.

    Raises:
        DataError: it is no component.
    """
    try:
        return Part.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        problem = " ".join(str(error).split())
        raise DataError(f"{option} {text} is no component: {problem}", "Write {type: NAME, ...}.") from error


@dataclass
class Kept:
    """Outcomes on disk, a file each, named by a hash of what they were made from.

    Attributes:
        folder: of all outcomes; any number of processes may share it.
    """

    folder: Path

    def get(self, key: str) -> dict[str, Any] | None:
        """What is kept under a key; None if nothing is."""
        try:
            found: dict[str, Any] = json.loads(self._path(key).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self._path(key)} can't be read: {error}.", "Delete it: it is made again."
            ) from error
        return found

    def put(self, key: str, content: Mapping[str, Any]) -> None:
        """Keep content, whole or not at all."""
        replace_text(self._path(key), json.dumps(content, ensure_ascii=False) + "\n")

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


@dataclass
class Notes:
    """How one item came about, and what is kept of it for the next time.

    Attributes:
        kept: outcomes of earlier runs.
        done: a line a step: who did it, its version, how long it took, what it cost.
        refused: answers that could not be used, and why, beside those that set the whole item aside.
    """

    kept: Kept
    done: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def outcome(self, step: str, part: Part, who: Step, content: object, make: Callable[[], Any]) -> Any:
        """What a step makes of some content; made once.

        Args:
            step: what is done.
            part: the component as the recipe names it: with its options part of the key.
            who: does it.
            content: JSON: what it is made from.
            make: makes it, as JSON.
        """
        facts = {"type": part.type, "options": part.options, "version": who.version}
        key = digest([step, facts, content])
        found = self.kept.get(key)
        if found is None:
            begun = time.monotonic()
            outcome = make()
            found = {"step": step, "by": who.by, **facts, "seconds": round(time.monotonic() - begun, 3)}
            found["outcome"] = outcome
            self.kept.put(key, found)
        told = {name: found[name] for name in ("step", "by", "version", "seconds")}
        self.done.append({**told, "key": key})
        return found["outcome"]

    def ask(self, step: str, speaker: Speaker, messages: Sequence[Message], version: str) -> str:
        """A speaker's answer; the same question is never paid for twice.

        Args:
            step: what it is asked for.
            speaker: who is asked.
            messages: the question.
            version: of the prompt.

        Raises:
            GroundingError: nobody answers, or the disk refuses.
        """
        key = digest([speaker.facts, list(messages)])
        found = self.kept.get(key)
        if found is None:
            begun = time.monotonic()
            text, usage = speaker.ask(messages)
            found = {"step": step, "by": speaker.name, "version": version}
            found["seconds"] = round(time.monotonic() - begun, 3)
            found |= {**vars(usage), "cost": speaker.cost(usage), "prompt": _shortened(messages)}
            found["outcome"] = text
            self.kept.put(key, found)
        told = ("by", "version", "seconds", "calls", "prompt_tokens", "reply_tokens", "cost")
        self.done.append({"step": step, **{name: found[name] for name in told}, "key": key})
        return str(found["outcome"])

    def refuse(self, step: str, answer: str, problems: Sequence[str]) -> None:
        """Note an answer that can't be used."""
        self.refused.append({"step": step, "answer": answer, "problem": " ".join(problems)})

    def add(self, step: str, who: Step, seconds: float = 0.0) -> None:
        """Note a step whose outcome is not worth keeping."""
        told = {"step": step, "by": who.by, "version": who.version, "seconds": round(seconds, 3)}
        self.done.append(told)


def _shortened(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The question without its pictures, which a hash stands for."""
    shown = []
    for message in messages:
        content = message["content"]
        if not isinstance(content, str):
            content = [
                part if part["type"] == "text" else {"type": part["type"], "sha256": digest(part)}
                for part in content
            ]
        shown.append({"role": message["role"], "content": content})
    return shown
