"""Long videos piece by piece: any model answers a piece, and objects keep their identity from piece to piece.

Each piece is a video of its own that shares its first frames with the end of the one before. The model is
asked anew for each, so that a lost object is found again and a mistake does not live on; memory is that of
one piece and of the masks' codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from grounding_core.config import Recipe
from grounding_core.device import place
from grounding_core.errors import GroundingError
from grounding_core.identities import Seen, match, phrases
from grounding_core.interfaces.component import ComponentConfig, Configured
from grounding_core.interfaces.grounder import Grounder, opened
from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText, Query, Span
from grounding_core.video import Video


@dataclass
class Story:
    """The answer to one question as it grows piece by piece."""

    size: tuple[int, int]
    masks: dict[int, list[bytes | None]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    last: dict[int, bytes | None] = field(default_factory=dict)
    texts: list[tuple[str, list[Span]]] = field(default_factory=list)
    pieces: list[dict[str, Any]] = field(default_factory=list)
    frames: int = 0

    def add(self, answer: GroundedText, start: int, stop: int) -> None:
        """Take in the answer to the piece [start, stop), which may begin before the last one's end."""
        shared = self.frames - start
        named = phrases(answer)
        new = [Seen(named[track.id], track.frames[:shared], _first(track.frames)) for track in answer.tracks]
        known = {
            id: Seen(self.names[id], masks[start : self.frames], self.last[id])
            for id, masks in self.masks.items()
        }
        found = match(known, new, self.size)
        ids: dict[int, int] = {}
        for track, id in zip(answer.tracks, found, strict=True):
            if id is None:
                id = len(self.masks)
                self.masks[id] = [None] * self.frames
                self.names[id] = named[track.id]
                self.last[id] = None
            ids[track.id] = id
            self.masks[id].extend(track.frames[shared:])
            self.last[id] = _first(track.frames[::-1]) or self.last[id]
        for masks in self.masks.values():  # what was not seen in the piece
            masks.extend([None] * (stop - len(masks)))
        self.frames = stop
        self._say(answer, ids, start)

    def _say(self, answer: GroundedText, ids: dict[int, int], start: int) -> None:
        spans = [Span(s.start, s.end, tuple(ids[id] for id in s.tracks)) for s in answer.spans]
        self.pieces.append({"start": start, "text": answer.text, "tracks": sorted(ids.values())})
        for text, known in self.texts:
            if text == answer.text:
                for span in spans:
                    place = span.start, span.end
                    there = {id for s in known if (s.start, s.end) == place for id in s.tracks}
                    if not there.issuperset(span.tracks):
                        known.append(Span(span.start, span.end, tuple(set(span.tracks) - there)))
                known.sort(key=lambda span: (span.start, span.end))
                return
        self.texts.append((answer.text, spans))

    def answer(self) -> GroundedText:
        """What has been said so far: each different text once, in order; ``meta["pieces"]`` has them all."""
        text, spans = "", list[Span]()
        for part, own in self.texts:
            at = len(text) + bool(text)
            text = f"{text} {part}" if text else part
            spans += [Span(s.start + at, s.end + at, s.tracks) for s in own]
        tracks = tuple(MaskTrack(id, self.size, tuple(masks)) for id, masks in self.masks.items())
        return GroundedText(text, tuple(spans), tracks, {"pieces": self.pieces})


def _first(frames: Sequence[bytes | None]) -> bytes | None:
    return next((counts for counts in frames if counts is not None), None)


def pieces(frames: int, length: int, overlap: int) -> Iterator[tuple[int, int]]:
    """[start, stop) of each piece of a video; neighbours share ``overlap`` frames."""
    start = 0
    while True:
        stop = min(start + length, frames)
        yield start, stop
        if stop == frames:
            return
        start = stop - overlap


class ChunkedConfig(ComponentConfig):
    """Which model answers, and how long a piece is."""

    recipe: str = Field(description="Name of an installed recipe, or path of a YAML file.")
    overrides: tuple[str, ...] = Field(default=(), description="part.option=value each.")
    length: int = Field(default=64, ge=2, description="Frames of a piece.")
    overlap: int = Field(default=4, ge=1, description="Frames that a piece shares with the one before.")


class Chunked(Configured):
    """A whole model around another. Answers as that one does where a video is no longer than a piece.

    Args:
        config: of the model.
        model: the one around which it is; None builds the recipe's.

    Raises:
        GroundingError: pieces would not get ahead.
    """

    Config = ChunkedConfig

    def __init__(self, config: ChunkedConfig, model: Grounder | None = None) -> None:
        if config.overlap >= config.length:
            raise GroundingError(
                f"Pieces of {config.length} frames can't share {config.overlap}.", "Use a smaller overlap."
            )
        self.config = config
        if model is None:
            from grounding_core.compose import build

            model = build(Recipe.load(config.recipe, config.overrides), device="cpu")
        self.model = model

    def to(self, device: str) -> Chunked:
        """Send the model's weights to a device."""
        place(self.model, device)
        return self

    def encode(self, video: Video) -> Video:
        """The video itself: its pieces are read when it is asked about, one at a time."""
        return Video.open(video)

    def ground(self, context: Video, queries: Sequence[Query]) -> list[GroundedText]:
        """Each piece is encoded once for all the questions."""
        stories = [Story(context.size) for _ in queries]
        for start, stop in pieces(len(context), self.config.length, self.config.overlap):
            piece = context if stop - start == len(context) else context.clip(start, stop)
            answers = self.model.ground(opened(self.model, piece), queries)
            for story, answer in zip(stories, answers, strict=True):
                story.add(answer, start, stop)
            if piece is context:
                return answers
        return [story.answer() for story in stories]

    def fingerprint(self) -> dict[str, str]:
        """The model's, and how its pieces are cut."""
        cut = f"pieces of {self.config.length} frames that share {self.config.overlap}"
        return {**self.model.fingerprint(), "chunked": cut}
