"""Checkers: an answer's marks, and whether its phrases fit what they point at."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from pydantic import Field

from benchmarks.annotate.items import Item, View
from benchmarks.annotate.steps import Checked, Step, component
from benchmarks.datasets.markup import Caption, parse
from benchmarks.image_text import Sight, best_frame, unlike
from grounding_core.config import Part
from grounding_core.interfaces.component import ComponentConfig

_LEFT_OUT = re.compile(r"^\s*LEFT OUT:([\d,\s]*)\.?\s*$", re.IGNORECASE | re.MULTILINE)
_BRACKETS = re.compile(r"\]\s*\(|\[[^\]]*$|\]\([^)]*$")


class Marks(Step):
    """Every phrase points at objects that exist, every object is mentioned or declared left out."""

    def check(self, answer: str, item: Item, view: View, *, all_named: bool = True) -> Checked:
        """See `benchmarks.annotate.steps.Checker`."""
        del view
        left = tuple(int(id) for line in _LEFT_OUT.findall(answer) for id in re.findall(r"\d+", line))
        words = " ".join(_LEFT_OUT.sub("", answer).split())
        try:
            caption = parse(words)
        except ValueError as error:
            return Checked(None, left, (f"The marks can't be read: {error}.",))
        known = {thing.id for thing in item.things}
        problems = []
        if not caption.text.strip():
            problems.append("There is no caption.")
        if _BRACKETS.search(caption.text) or "[" in caption.text or "]" in caption.text:
            problems.append("Some brackets mark nothing: write [words](number) and no other brackets.")
        unknown = sorted((set(caption.objects) | set(left)) - known)
        if unknown:
            problems.append(f"There is no object {', '.join(map(str, unknown))}.")
        missing = sorted(known - set(caption.objects) - set(left))
        if missing and all_named:
            problems.append(f"It does not mention {', '.join(map(str, missing))}.")
        if not caption.spans:
            problems.append("No words are marked.")
        return Checked(caption, left, tuple(problems))


class FitsConfig(ComponentConfig):
    """Who compares phrases with pictures, and how sure it must be."""

    model: Part = Field(description="An image–text component: its `type` and options.")
    worse: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of the item's other phrases that may fit an object better than its own does.",
    )


class Fits(Step):
    """As `marks`, and each phrase fits its object's crop better than the phrases of other objects do."""

    Config = FitsConfig

    def __init__(self, config: FitsConfig) -> None:
        self._config = config
        self._model: Any = component("image_text", config.model, "checker.model")
        self._marks = Marks(ComponentConfig())

    @property
    def by(self) -> str:
        """With the model that looks."""
        return f"Fits by {self._config.model.type}"

    def check(self, answer: str, item: Item, view: View, *, all_named: bool = True) -> Checked:
        """See `benchmarks.annotate.steps.Checker`."""
        found = self._marks.check(answer, item, view, all_named=all_named)
        if found.problems or found.caption is None:
            return found
        return Checked(found.caption, found.left, tuple(self._misfits(found.caption, view)))

    def _misfits(self, caption: Caption, view: View) -> list[str]:
        single = [(caption.text[s.start : s.end], s.tracks[0]) for s in caption.spans if len(s.tracks) == 1]
        problems = []
        for phrase, id in single:
            others = unlike(phrase, [other for other, theirs in single if theirs != id])
            frame = best_frame(view.tracks[id])
            if not others or frame is None:
                continue
            sight = Sight(view.video.frames([frame])[0], view.tracks[id].mask(frame))
            own, *rest = self._model.similarity([sight], [phrase, *others])[0]
            known = [score for score in rest if not np.isnan(score)]
            if sum(score > own for score in known) > self._config.worse * len(known):
                problems.append(f"“{phrase}” does not fit object {id}.")
        return problems
