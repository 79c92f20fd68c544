"""Changes that reviewers make to an item, and the log that keeps them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.datasets.markup import parse, reworded
from grounding_core.errors import DataError, GroundingError
from grounding_core.masks import MaskTrack, decode
from grounding_core.types import GroundedText

_log = logging.getLogger(__name__)

VERDICTS = ("accept", "drop")
UNDO = "undo"


class ReviewError(GroundingError):
    """A change that can't be made."""


@dataclass(frozen=True)
class Change:
    """One thing that a reviewer did.

    Attributes:
        item: key of the item.
        action: ``accept``, ``drop``, ``rename``, ``link``, ``caption``, ``mask`` or ``undo``.
        who: the reviewer.
        when: UTC, ISO 8601.
        values: of the action: rename ``span``, ``words``; link ``span``, ``tracks``; caption ``marked``
            (``[words](0)``); mask ``track``, ``masks`` (COCO counts or None a frame) and how it was drawn;
            drop ``reason``.
    """

    item: str
    action: str
    who: str
    when: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.action not in (*_ACTIONS, *VERDICTS, UNDO):
            known = ", ".join((*_ACTIONS, *VERDICTS, UNDO))
            raise ReviewError(f"There is no action {self.action!r}.", f"Use one of {known}.")
        if not self.who.strip():
            raise ReviewError("Nobody made this change.", "Say who with --who.")

    @classmethod
    def now(cls, item: str, action: str, who: str, **values: Any) -> Change:
        """A change made at this moment."""
        return cls.made_now(item, action, who, values)

    @classmethod
    def made_now(cls, item: str, action: str, who: str, values: Mapping[str, Any]) -> Change:
        """A change made at this moment, with values that others named.

        Raises:
            ReviewError: there is no such action, or it has no such value.
        """
        when = datetime.now(timezone.utc).isoformat(timespec="seconds")
        change = cls(item, action, who, when, values)
        taken = _VALUES.get(action, ())
        unknown = [name for name in values if name not in taken]
        if unknown:
            told = f"It takes {', '.join(taken)}." if taken else "It takes none."
            raise ReviewError(f"A change {action!r} has no value {', '.join(map(repr, unknown))}.", told)
        return change


def apply(text: GroundedText, change: Change) -> GroundedText:
    """What becomes of an item's text and tracks.

    Raises:
        ReviewError: the change names a phrase or an object that is not there, or does not fit.
    """
    if change.action not in _ACTIONS:
        return text
    try:
        return _ACTIONS[change.action](text, change.values)
    except KeyError as error:
        raise ReviewError(
            f"The change {change.action!r} lacks the value {error}.",
            f"It takes {', '.join(_VALUES[change.action])}.",
        ) from error
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise ReviewError(
            f"The change {change.action!r} is malformed: {error}.", "Compare it with the log's others."
        ) from error


def _rename(text: GroundedText, values: Mapping[str, Any]) -> GroundedText:
    place, words = _span(text, values), " ".join(str(values["words"]).split())
    if not words:
        raise ReviewError("A phrase needs words.", "Write some, or link it to nothing.")
    return reworded(text, place, words)


def _link(text: GroundedText, values: Mapping[str, Any]) -> GroundedText:
    place = _span(text, values)
    tracks = tuple(dict.fromkeys(int(id) for id in values["tracks"]))
    _known(text, tracks)
    spans = list(text.spans)
    spans[place] = replace(spans[place], tracks=tracks)
    return replace(text, spans=tuple(spans))


def _caption(text: GroundedText, values: Mapping[str, Any]) -> GroundedText:
    caption = parse(" ".join(str(values["marked"]).split()))
    if not caption.text:
        raise ReviewError("The caption is empty.", "Write one, or drop the item.")
    _known(text, caption.objects)
    return GroundedText(caption.text, caption.spans, text.tracks)


def _mask(text: GroundedText, values: Mapping[str, Any]) -> GroundedText:
    id, given = int(values["track"]), values["masks"]
    frames = tuple(None if code is None else str(code).encode("ascii") for code in given)
    sizes = {(track.size, len(track)) for track in text.tracks} or {(tuple(values["size"]), len(frames))}
    ((size, length),) = sizes
    if len(frames) != length:
        raise ReviewError(
            f"The redrawn object has {len(frames)} masks, the video {length} frames.", "Redraw it."
        )
    for code in frames:
        decode(code, (int(size[0]), int(size[1])))
    track = MaskTrack(id, (int(size[0]), int(size[1])), frames)
    others = [track if other.id == id else other for other in text.tracks]
    if id not in {other.id for other in text.tracks}:
        others.append(track)
    return replace(text, tracks=tuple(others))


_ACTIONS: Mapping[str, Callable[[GroundedText, Mapping[str, Any]], GroundedText]] = {
    "rename": _rename,
    "link": _link,
    "caption": _caption,
    "mask": _mask,
}


_VALUES: Mapping[str, Sequence[str]] = {
    "rename": ("span", "words"),
    "link": ("span", "tracks"),
    "caption": ("marked",),
    "mask": ("track", "masks", "size", "drawn"),
    "drop": ("reason",),
}
"""What an action may be sent; the others take nothing."""


def _span(text: GroundedText, values: Mapping[str, Any]) -> int:
    place = int(values["span"])
    if not 0 <= place < len(text.spans):
        raise ReviewError(f"There is no phrase {place}.", f"The caption has {len(text.spans)}, from 0.")
    return place


def _known(text: GroundedText, ids: Sequence[int]) -> None:
    known = {track.id for track in text.tracks}
    unknown = sorted(set(ids) - known)
    if unknown:
        raise ReviewError(
            f"There is no object {', '.join(map(str, unknown))}.",
            f"Known: {', '.join(map(str, sorted(known)))}.",
        )


class Log:
    """Changes in the order they were made, a JSON line each, on disk before anything else happens.

    Args:
        path: the file; a last line torn by a kill is left out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, list[Change]] = {}
        for change in self._read():
            self._note(change)

    def add(self, change: Change) -> None:
        """Keep a change.

        Raises:
            DataError: the disk refuses.
        """
        line = json.dumps(vars(change), ensure_ascii=False)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                if file.tell() and not self._ends(file):
                    file.write(b"\n")
                file.write(line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(
                f"Can't write {self._path}: {error.strerror or error}.", "Free some space."
            ) from error
        self._note(change)

    def of(self, item: str) -> list[Change]:
        """The changes of an item that count: what was undone is left out."""
        return list(self._kept.get(item, ()))

    @property
    def items(self) -> list[str]:
        """Items that have changes."""
        return [item for item, changes in self._kept.items() if changes]

    def _note(self, change: Change) -> None:
        kept = self._kept.setdefault(change.item, [])
        if change.action != UNDO:
            kept.append(change)
        elif kept:
            kept.pop()

    def _read(self) -> Iterator[Change]:
        if not self._path.is_file():
            return
        for number, line in enumerate(self._path.read_text(encoding="utf-8").split("\n"), start=1):
            if not line.strip():
                continue
            try:
                told = json.loads(line)
            except ValueError:
                _log.warning("%s, line %d is torn and left out.", self._path, number)
                continue
            try:
                yield Change(**told)
            except TypeError as error:
                raise DataError(f"{self._path}, line {number}: {error}.", "Delete that line.") from error

    @staticmethod
    def _ends(file: Any) -> bool:
        file.seek(-1, os.SEEK_END)
        return bool(file.read(1) == b"\n")
