"""What is annotated: a video and its objects, wherever they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.datasets.markup import Caption
from grounding_core.interfaces.dataset import Box
from grounding_core.masks import MaskTrack
from grounding_core.video import Video

if TYPE_CHECKING:
    from benchmarks.annotate.steps import Notes

EDGE = 1 << 15
"""Bytes at either end of a video's files that tell its content apart."""


@dataclass(frozen=True)
class Thing:
    """One object.

    Attributes:
        id: unique within the item.
        name: its class; empty where nobody says.
        sayings: what people wrote about it.
        track: its masks, or None where there are boxes.
        boxes: frame -> box, where there are no masks.
        sparse: whether the boxes are only examples, so that it may be seen in other frames too.
    """

    id: int
    name: str = ""
    sayings: tuple[str, ...] = ()
    track: MaskTrack | None = None
    boxes: Mapping[int, Box] = field(default_factory=dict)
    sparse: bool = False


@dataclass(frozen=True)
class Together:
    """What people wrote about several objects at once.

    Attributes:
        things: ids of the objects.
        saying: the words.
    """

    things: tuple[int, ...]
    saying: str


@dataclass(frozen=True)
class Item:
    """One video to caption.

    Attributes:
        id: unique within its source.
        open_video: opens it; masks and boxes count its frames.
        things: its objects.
        together: sayings about several of them.
        draft: a caption that people wrote and marked already.
    """

    id: str
    open_video: Callable[[], Video] = field(repr=False, compare=False)
    things: tuple[Thing, ...]
    together: tuple[Together, ...] = ()
    draft: Caption | None = None

    def content(self) -> list[object]:
        """What is known of the objects, as JSON."""
        return [
            [
                [
                    thing.id,
                    thing.name,
                    thing.sayings,
                    sorted(thing.boxes.items()),
                    thing.sparse,
                    None if thing.track is None else [c and c.decode("ascii") for c in thing.track.frames],
                ]
                for thing in self.things
            ],
            [[group.things, group.saying] for group in self.together],
            self.draft and [self.draft.text, [[s.start, s.end, s.tracks] for s in self.draft.spans]],
        ]


@dataclass(frozen=True)
class View:
    """A video and where its objects are.

    Attributes:
        video: as it is annotated.
        tracks: object id -> its masks.
    """

    video: Video = field(repr=False, compare=False)
    tracks: Mapping[int, MaskTrack]


@dataclass(frozen=True)
class Source:
    """Items and where they come from.

    Attributes:
        name: as the user named it.
        licence: of the data, for the manifest.
        items: one a video; what a model had to find is kept in the notes.
        ids: of the items.
    """

    name: str
    licence: str
    items: Sequence[Callable[[Notes], Item]]
    ids: Sequence[str]

    def first(self, count: int) -> Source:
        """The first so many items alone."""
        return Source(self.name, self.licence, self.items[:count], self.ids[:count])


def digest(content: object) -> str:
    """A short hash of JSON content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def content_of(video: Video) -> list[object]:
    """What tells a video from others, wherever it lies: sizes, times, and bytes of its files.

    Raises:
        VideoError: a frame can't be decoded.
    """
    times = video.timestamps
    facts: list[object] = [
        len(video),
        list(video.size),
        round(float(times[0]), 4),
        round(float(times[-1]), 4),
    ]
    files = video.files
    if not files:
        middle = video.frames(sorted({0, len(video) // 2, len(video) - 1}))
        return [*facts, hashlib.sha256(middle.tobytes()).hexdigest()]
    facts.append([file.stat().st_size for file in files])
    told = hashlib.sha256()
    for place in sorted({0, len(files) // 2, len(files) - 1}):
        with files[place].open("rb") as handle:
            told.update(handle.read(EDGE))
            handle.seek(max(files[place].stat().st_size - EDGE, 0))
            told.update(handle.read(EDGE))
    return [*facts, told.hexdigest()]
