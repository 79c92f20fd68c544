"""What is reviewed: items worst first, each as it is after the changes that were made to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.annotate.writers import marked
from benchmarks.audit.auditing import Questions
from benchmarks.datasets.markup import Caption
from benchmarks.review.changes import VERDICTS, Change, Log, ReviewError, apply
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Sample
from grounding_core.types import GroundedText, Span

OPEN = "open"
CHANGED = "changed"
Masks = Sequence["bytes | None"]
"""A mask a frame, as in a track."""


@dataclass(frozen=True)
class ReviewItem:
    """A sample to look at.

    Attributes:
        key: ``data set/split/task/sample``.
        dataset, split, task: where it is from.
        sample: the sample.
        score: of the audit; 0 without one.
        faults: what the audit found: kind, reason, frames, tracks.
    """

    key: str
    dataset: str
    split: str
    task: str
    sample: Sample
    score: float = 0.0
    faults: Sequence[dict[str, Any]] = field(default_factory=tuple)


class Review:
    """Items and the changes made to them; any number of threads may use it.

    Args:
        questions: what is reviewed, from `benchmarks.audit.auditing`.
        out: folder of ``changes.jsonl``.
        findings: ``findings.jsonl`` of an audit of the same data; None: in the data's own order.

    Raises:
        DataError: the findings can't be read, or are about other data.
    """

    def __init__(self, questions: Sequence[Questions], out: Path, findings: Path | None = None) -> None:
        self.out = out
        self._log = Log(out / "changes.jsonl")
        self._lock = threading.RLock()
        found = {} if findings is None else _findings(findings)
        items = []
        for asked in questions:
            for sample in asked.samples:
                key = f"{asked.dataset}/{asked.split}/{asked.task}/{sample.id}"
                faults = found.pop(key, [])
                score = max((fault["score"] for fault in faults), default=0.0)
                items.append(ReviewItem(key, asked.dataset, asked.split, asked.task, sample, score, faults))
        if found and not any(item.faults for item in items):
            raise DataError(
                f"{findings} is about other data: {next(iter(found))} is none of it.",
                "Name the audit of this data with --audit.",
            )
        self.items = sorted(items, key=lambda item: -item.score)
        self.places = {item.key: place for place, item in enumerate(self.items)}

    def item(self, place: int) -> ReviewItem:
        """The item at a place.

        Raises:
            ReviewError: there is none.
        """
        if not 0 <= place < len(self.items):
            raise ReviewError(f"There is no item {place}.", f"There are {len(self.items)}, from 0.")
        return self.items[place]

    def text(self, item: ReviewItem) -> GroundedText:
        """Caption and tracks after all changes.

        Raises:
            GroundingError: the truth can't be read.
        """
        text = original(item.sample)
        with self._lock:
            for change in self._log.of(item.key):
                text = apply(text, change)
        return text

    def status(self, item: ReviewItem) -> str:
        """``accept``, ``drop``, ``changed`` or ``open``: the last verdict counts."""
        changes = self._log.of(item.key)
        verdict = next((change.action for change in reversed(changes) if change.action in VERDICTS), None)
        return verdict or (CHANGED if changes else OPEN)

    def changes(self, item: ReviewItem) -> list[Change]:
        """Changes of an item that were not undone."""
        return self._log.of(item.key)

    def add(self, change: Change) -> None:
        """Make a change, if it can be made.

        Raises:
            ReviewError: it names something that is not there.
            DataError: the disk refuses.
        """
        if change.item not in self.places:
            raise ReviewError(f"There is no item {change.item!r}.", "Review the data it belongs to.")
        with self._lock:
            apply(self.text(self.items[self.places[change.item]]), change)
            self._log.add(change)

    def take(
        self,
        item: ReviewItem,
        drawn: Mapping[int, Masks],
        *,
        who: str,
        by: str,
        caption: str | None = None,
        verdict: str | None = None,
    ) -> list[Change]:
        """Make the changes that another program shows; none where it agrees with what is there.

        Args:
            item: what was changed.
            drawn: object -> a mask a frame; objects that are not named stay as they are.
            who: did it.
            by: the program.
            caption: with its marks; None or blank says nothing.
            verdict: one of `benchmarks.review.changes.VERDICTS`; None says nothing.

        Raises:
            ReviewError: the caption names unknown objects.
        """
        text, size = self.text(item), list(item.sample.open_video().size)
        known = {track.id: track.frames for track in text.tracks}
        changes = []
        for id, frames in sorted(drawn.items()):
            if tuple(frames) != known.get(id, (None,) * len(frames)):
                codes = [None if code is None else code.decode("ascii") for code in frames]
                values = {"track": id, "masks": codes, "size": size, "drawn": by}
                changes.append(Change.now(item.key, "mask", who, **values))
        said = " ".join((caption or "").split())
        if said and said != " ".join(marked(Caption(text.text, text.spans)).split()):
            changes.append(Change.now(item.key, "caption", who, marked=said))
        if verdict is not None and verdict != self.status(item):
            changes.append(Change.now(item.key, verdict, who))
        for change in changes:
            self.add(change)
        return changes


def original(sample: Sample) -> GroundedText:
    """A sample's caption; an expression is a caption that is one phrase."""
    truth = sample.load_truth()
    if truth.caption is not None:
        return truth.caption
    text = sample.query.text
    spans = (Span(0, len(text), tuple(track.id for track in truth.tracks)),) if text and truth.tracks else ()
    return GroundedText(text, spans, truth.tracks)


def _findings(path: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            key = f"{one['dataset']}/{one['split']}/{one['task']}/{one['sample']}"
            found.setdefault(key, []).append(one)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} can't be read: {error}.", "Name the findings.jsonl of an audit.") from error
    return found
