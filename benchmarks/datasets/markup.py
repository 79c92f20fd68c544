"""Captions in the markup of VideoGLaMM's generated sets: ``[four pandas](0, 1, 2, 3) play``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText, Span

_PHRASE = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")


@dataclass(frozen=True)
class Caption:
    """A caption without markup; a span's tracks are the object ids behind its phrase.

    Attributes:
        text: the words.
        spans: in text order.
    """

    text: str
    spans: tuple[Span, ...]

    @property
    def objects(self) -> tuple[int, ...]:
        """All object ids, in the order in which they are first named."""
        return tuple(dict.fromkeys(id for span in self.spans for id in span.tracks))

    def first_only(self) -> Caption:
        """Each phrase with the first of its objects alone."""
        return Caption(self.text, tuple(Span(span.start, span.end, span.tracks[:1]) for span in self.spans))

    def grounded(self, tracks: Mapping[int, MaskTrack]) -> GroundedText:
        """The caption over the tracks of its objects."""
        return GroundedText(self.text, self.spans, tuple(tracks[id] for id in self.objects))


def parse(marked: str) -> Caption:
    """Read a marked caption. Brackets that no ids follow are words.

    Raises:
        ValueError: what stands in a phrase's parentheses is not a list of ids.
    """
    text, spans, read = "", [], 0
    for match in _PHRASE.finditer(marked):
        phrase, named = match.groups()
        text += marked[read : match.start()]
        try:
            ids = tuple(dict.fromkeys(int(id) for id in named.split(",")))
        except ValueError:
            raise ValueError(f"its phrase {phrase!r} names {named!r}, not object ids") from None
        spans.append(Span(len(text), len(text) + len(phrase), ids))
        text += phrase
        read = match.end()
    return Caption(text + marked[read:], tuple(spans))


def reworded(text: GroundedText, place: int, words: str) -> GroundedText:
    """The text with other words for its phrase at a place; all others stay what they were."""
    old = text.spans[place]
    longer = len(words) - (old.end - old.start)
    spans = []
    for index, span in enumerate(text.spans):
        start = span.start + (longer if span.start >= old.end else 0)
        end = span.end + (longer if span.end >= old.end else 0)
        spans.append(
            Span(old.start, old.start + len(words), span.tracks)
            if index == place
            else Span(start, max(end, start), span.tracks)
        )
    said = text.text[: old.start] + words + text.text[old.end :]
    return GroundedText(said, tuple(spans), text.tracks)
