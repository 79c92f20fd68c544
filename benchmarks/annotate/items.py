"""What is annotated: a video and its objects, wherever they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from grounding_core.interfaces.dataset import Box
from grounding_core.masks import MaskTrack
from grounding_core.video import Video


@dataclass(frozen=True)
class Thing:
    """One object.

    Attributes:
        id: unique within the item.
        name: its class; empty where nobody says.
        sayings: what people wrote about it.
        track: its masks, or None where there are boxes.
        boxes: frame -> box, where there are no masks.
    """

    id: int
    name: str = ""
    sayings: tuple[str, ...] = ()
    track: MaskTrack | None = None
    boxes: Mapping[int, Box] = field(default_factory=dict)


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
    """

    id: str
    open_video: Callable[[], Video] = field(repr=False, compare=False)
    things: tuple[Thing, ...]
    together: tuple[Together, ...] = ()

    def key(self, settings: Mapping[str, object]) -> str:
        """A hash of the objects and the settings: what was made with the same key need not be redone."""
        content = [
            self.id,
            [
                [
                    thing.id,
                    thing.name,
                    thing.sayings,
                    sorted(thing.boxes.items()),
                    None if thing.track is None else [c and c.decode("ascii") for c in thing.track.frames],
                ]
                for thing in self.things
            ],
            [[group.things, group.saying] for group in self.together],
            settings,
        ]
        return digest(content)


@dataclass(frozen=True)
class Source:
    """Items and where they come from.

    Attributes:
        name: as the user named it.
        licence: of the data, for the manifest.
        items: one a video.
    """

    name: str
    licence: str
    items: Sequence[Callable[[], Item]]
    ids: Sequence[str]


def digest(content: object) -> str:
    """A short hash of JSON content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
