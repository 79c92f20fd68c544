"""Questions and answers beside a caption: from what the masks show, or written by a model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from benchmarks.annotate import writing
from benchmarks.annotate.items import Item, View
from benchmarks.annotate.speakers import Asked, EndpointOptions, Generating, LanguageModelOptions, Spoken
from benchmarks.annotate.steps import Checker, Notes, Step, Triplet
from benchmarks.annotate.writers import ARTICLES, marked
from benchmarks.datasets.markup import Caption, parse
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.masks import MaskTrack

Form = Literal["where", "which", "count", "left", "right", "largest", "moves", "first", "last", "absent"]
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
GAP = 0.15
"""Share of the picture's width by which the outermost object must be ahead of the next."""
RATIO = 1.5
"""How many times more than the next one the largest, or the fastest, must be."""


class ByMasksConfig(ComponentConfig):
    """Which questions are asked."""

    forms: tuple[Form, ...] = Field(
        default=("where", "which", "count", "left", "right", "largest", "moves", "first", "last"),
        description="Forms of questions. `absent` asks for a class that the video lacks, which is only sure "
        "where every object is annotated.",
    )
    most: int = Field(default=8, ge=1, description="Most questions a video, spread over the forms.")
    classes: tuple[str, ...] = Field(default=(), description="Of `absent`: what may be asked for in vain.")


class ByMasks(Step):
    """Questions whose answers the masks themselves give: where, which, how many, what moves most, ..."""

    Config = ByMasksConfig

    def __init__(self, config: ByMasksConfig) -> None:
        self._config = config

    def ask(self, item: Item, caption: Caption, view: View, checker: Checker, notes: Notes) -> list[Triplet]:
        """See `benchmarks.annotate.steps.Questioner`."""
        notes.add("questions", self)
        phrases = _phrases(caption)
        tracks = {id: view.tracks[id] for id in phrases}
        makers: Mapping[Form, Callable[[], Iterator[tuple[str, str]]]] = {
            "where": lambda: _where(phrases, tracks),
            "which": lambda: _which(phrases),
            "count": lambda: _count(item),
            "left": lambda: _side(phrases, tracks, "left"),
            "right": lambda: _side(phrases, tracks, "right"),
            "largest": lambda: _most(phrases, "Which is the largest object?", _sizes(tracks)),
            "moves": lambda: _most(phrases, "Which object moves most?", _ways(tracks)),
            "first": lambda: _entering(phrases, tracks),
            "last": lambda: _leaving(phrases, tracks),
            "absent": lambda: _absent(item, self._config.classes),
        }
        found = [[Triplet(f, q, parse(a)) for q, a in makers[f]()] for f in self._config.forms]
        # One of each form, then the second of each, and so on.
        rounds = max(map(len, found), default=0)
        spread = [triplets[place] for place in range(rounds) for triplets in found if place < len(triplets)]
        return spread[: self._config.most]


def _phrases(caption: Caption) -> dict[int, str]:
    """Object -> the first phrase that means it alone, as it reads within a sentence."""
    found: dict[int, str] = {}
    for span in caption.spans:
        if len(span.tracks) == 1:
            found.setdefault(span.tracks[0], _inside(caption.text[span.start : span.end]))
    # Two objects of the same words can't be told apart by them.
    counts = Counter(phrase.lower() for phrase in found.values())
    return {id: phrase for id, phrase in found.items() if counts[phrase.lower()] == 1}


def _inside(phrase: str) -> str:
    first, _, rest = phrase.strip().rstrip(".,;:!?").partition(" ")
    return f"{first.lower() if first.lower() in ARTICLES else first} {rest}".strip()


def _definite(phrase: str) -> str:
    """With the article of what was spoken of before."""
    first, _, rest = phrase.partition(" ")
    return f"the {rest}" if first in ("a", "an") and rest else phrase


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _where(phrases: Mapping[int, str], tracks: Mapping[int, MaskTrack]) -> Iterator[tuple[str, str]]:
    for id, phrase in phrases.items():
        seen = tracks[id].visible()
        start, end = (_place(tracks[id], frame) for frame in (seen[0], seen[-1]))
        then = f"stays {start}" if start == end else f"is {start} at first and {end} at the end"
        yield f"Where is {_definite(phrase)}?", f"[{_capital(_definite(phrase))}]({id}) {then}."


def _place(track: MaskTrack, frame: int) -> str:
    share = _centre(track, frame)[0] / track.size[1]
    return "on the left" if share < 1 / 3 else "on the right" if share > 2 / 3 else "in the middle"


def _which(phrases: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    if len(phrases) > 1:
        *most, last = [f"[{phrase}]({id})" for id, phrase in phrases.items()]
        yield "Which objects can be seen?", f"One can see {', '.join(most)} and {last}."


def _count(item: Item) -> Iterator[tuple[str, str]]:
    groups: dict[str, list[int]] = {}
    for thing in item.things:
        if thing.name:
            groups.setdefault(thing.name, []).append(thing.id)
    for name, ids in groups.items():
        if len(ids) < len(NUMBERS):
            number = NUMBERS[len(ids)]
            start, words = ("is", name) if len(ids) == 1 else ("are", _plural(name))
            marks = ", ".join(map(str, ids))
            yield f"How many {_plural(name)} are there?", f"There {start} [{number} {words}]({marks})."


def _plural(name: str) -> str:
    irregular = {"person": "people", "man": "men", "woman": "women", "child": "children", "mouse": "mice"}
    irregular |= {"sheep": "sheep", "fish": "fish", "deer": "deer", "foot": "feet", "knife": "knives"}
    *before, last = name.split(" ")
    if last in irregular:
        last = irregular[last]
    elif re.search(r"(s|x|z|ch|sh)$", last):
        last += "es"
    elif re.search(r"[^aeiou]y$", last):
        last = f"{last[:-1]}ies"
    else:
        last += "s"
    return " ".join([*before, last])


def _side(
    phrases: Mapping[int, str], tracks: Mapping[int, MaskTrack], side: Literal["left", "right"]
) -> Iterator[tuple[str, str]]:
    """Only where one object is clearly the outermost when the video begins."""
    there = [id for id, track in tracks.items() if track.frames[0] is not None]
    if len(there) < 2:
        return
    sign = 1 if side == "left" else -1
    first, second = sorted((sign * _centre(tracks[id], 0)[0], id) for id in there)[:2]
    if second[0] - first[0] > GAP * tracks[first[1]].size[1]:
        answer = f"It is [{_definite(phrases[first[1]])}]({first[1]})."
        yield f"What is furthest to the {side} when the video begins?", answer


def _centre(track: MaskTrack, frame: int) -> tuple[float, float]:
    x0, y0, x1, y1 = track.box(frame) or (0.0, 0.0, 0.0, 0.0)
    return (x0 + x1) / 2, (y0 + y1) / 2


def _sizes(tracks: Mapping[int, MaskTrack]) -> dict[int, float]:
    return {id: float(np.median(list(track.areas().values()))) for id, track in tracks.items()}


def _ways(tracks: Mapping[int, MaskTrack]) -> dict[int, float]:
    """How far each object's centre goes, in shares of the picture; standing still counts a little."""
    ways = {}
    for id, track in tracks.items():
        centres = np.array([_centre(track, frame) for frame in track.visible()])
        steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
        ways[id] = float(steps.sum()) / max(track.size) + 0.05
    return ways


def _most(
    phrases: Mapping[int, str], question: str, amounts: Mapping[int, float]
) -> Iterator[tuple[str, str]]:
    if len(amounts) > 1:
        first, second = sorted(amounts, key=lambda id: -amounts[id])[:2]
        if amounts[first] > RATIO * amounts[second]:
            yield question, f"[{_capital(_definite(phrases[first]))}]({first})."


def _entering(phrases: Mapping[int, str], tracks: Mapping[int, MaskTrack]) -> Iterator[tuple[str, str]]:
    late = {id: track.visible()[0] for id, track in tracks.items() if track.visible()[0] > 0}
    if len(late) == 1:
        (id,) = late
        yield "What comes into view later on?", f"[{_capital(_definite(phrases[id]))}]({id})."


def _leaving(phrases: Mapping[int, str], tracks: Mapping[int, MaskTrack]) -> Iterator[tuple[str, str]]:
    gone = {id for id, track in tracks.items() if track.visible()[-1] < len(track) - 1}
    if len(gone) == 1:
        (id,) = gone
        yield "What is gone at the end?", f"[{_capital(_definite(phrases[id]))}]({id})."


def _absent(item: Item, classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    there = {thing.name for thing in item.things}
    said = " ".join(saying for thing in item.things for saying in thing.sayings).lower()
    missing = [name for name in classes if name not in there and name.lower() not in said]
    if missing:
        name = missing[sum(map(ord, item.id)) % len(missing)]  # another one for each video
        yield f"Is there {_a(name)} in the video?", f"No, there is no {name}."


def _a(name: str) -> str:
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"


class WrittenOptions(ComponentConfig):
    """How many questions a model writes."""

    count: int = Field(default=4, ge=1, description="Questions a video.")
    tries: int = Field(
        default=2, ge=1, description="Answers of the model before bad questions are set aside."
    )


class EndpointQuestionsConfig(EndpointOptions, WrittenOptions):
    """An endpoint, and how many questions."""


class LanguageModelQuestionsConfig(LanguageModelOptions, WrittenOptions):
    """A language model, and how many questions."""


class _Written(Spoken):
    """Questions that a model writes; each is checked, and those that can't be used are noted."""

    version = writing.VERSION
    options: WrittenOptions

    def ask(self, item: Item, caption: Caption, view: View, checker: Checker, notes: Notes) -> list[Triplet]:
        """See `benchmarks.annotate.steps.Questioner`."""
        messages = writing.questions(item, marked(caption), self.options.count)
        good: dict[str, Triplet] = {}
        for _ in range(self.options.tries):
            answer = notes.ask("questions", self.speaker, messages, self.version)
            problems = []
            pairs = re.findall(r"^\s*Q:\s*(.+?)\s*\n\s*A:\s*(.+?)\s*$", answer, re.MULTILINE)
            if not pairs:
                problems.append("There are no lines that begin with Q: and A:.")
            for question, words in pairs:
                checked = checker.check(words, item, view, all_named=False)
                if "[" in question or "](" in question:
                    problems.append(f"The question “{question}” has marks.")
                elif checked.caption is None or checked.problems:
                    problems.append(f"The answer “{words}” can't be used: {' '.join(checked.problems)}")
                else:
                    good.setdefault(question, Triplet("written", question, checked.caption))
            if not problems or len(good) >= self.options.count:
                break
            notes.refuse("questions", answer, problems)
            messages = writing.again(messages, answer, problems)
        return list(good.values())[: self.options.count]


class EndpointQuestions(_Written):
    """Any OpenAI-compatible endpoint."""

    Config = EndpointQuestionsConfig

    def __init__(self, config: EndpointQuestionsConfig) -> None:
        self.speaker, self.options = Asked(config), config


class LanguageModelQuestions(_Written):
    """The language model of any plugin."""

    Config = LanguageModelQuestionsConfig

    def __init__(self, config: LanguageModelQuestionsConfig) -> None:
        self.speaker, self.options = Generating(config), config


class NoQuestions(Step):
    """Captions alone."""

    def ask(self, item: Item, caption: Caption, view: View, checker: Checker, notes: Notes) -> list[Triplet]:
        """None."""
        return []
