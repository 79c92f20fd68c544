"""The markup that language models write, ``<p>red cat</p> [SEG]``, to and from text with spans.

A ``[SEG]`` stands for one mask track: the i-th of a text is track i. It belongs to the phrase that it
follows; several may follow one phrase. What a model gets wrong is repaired, never refused:

- a phrase that is not closed ends at its ``[SEG]``; without one, its tag is dropped;
- a tag that opens or closes nothing is dropped, as is a phrase without words;
- a ``[SEG]`` without a phrase is a zero-width span after the words before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from grounding_core.errors import GroundingError
from grounding_core.types import GroundedText, Span

SEG = "[SEG]"
_OPEN, _CLOSE = "<p>", "</p>"


@dataclass(frozen=True)
class Marked:
    """Text without markup, and where it pointed.

    Attributes:
        text: reads as if the markup had never been there; holds no tag and no ``[SEG]``.
        spans: in text order, not overlapping; track ids count the ``[SEG]`` of the source.
        num_tracks: how many there were.
    """

    text: str
    spans: tuple[Span, ...] = ()
    num_tracks: int = 0


def parse(text: str, *, seg: str = SEG) -> Marked:
    """Read markup. Any string is accepted, and ``parse(render(parse(s))) == parse(s)``.

    Blanks and line ends next to markup become at most one, none before punctuation.

    Args:
        text: what a model wrote.
        seg: the token that stands for a track.
    """
    tokens = _tokens(seg)
    reader = _Reader(tokens)
    # Splitting with a group alternates: words, token, words, token, ..., words.
    for place, piece in enumerate(re.split("(" + "|".join(map(re.escape, tokens)) + ")", text)):
        if place % 2:
            reader.token(piece)
        else:
            reader.words(piece)
    return reader.finish()


def so_far(text: str, *, seg: str = SEG) -> Marked:
    """Read markup that is still being written: a tag of which only the beginning is there is left out."""
    begun = {token[:length] for token in _tokens(seg) for length in range(1, len(token))}
    half = max((piece for piece in begun if text.endswith(piece)), key=len, default="")
    return parse(text.removesuffix(half), seg=seg)


def render(marked: Marked | GroundedText, *, seg: str = SEG) -> str:
    """Write markup: ``<p>phrase</p>``, then one ``seg`` for each of the span's tracks.

    Spans are written in text order; one that overlaps an earlier span keeps its tracks and loses its
    phrase. The i-th ``seg`` stands for the i-th of ``[id for span in spans for id in span.tracks]``.
    """
    _tokens(seg)
    text, parts, done = marked.text, [], 0
    for span in sorted(marked.spans, key=lambda span: (span.start, span.end)):
        start, end = (span.start, span.end) if span.start >= done else (max(done, span.end),) * 2
        parts.append(text[done:start])
        if start < end:
            parts.append(f"{_OPEN}{text[start:end]}{_CLOSE}")
        marks = " ".join([seg] * len(span.tracks))
        if marks:
            parts.append(f" {marks}" if end else marks)
            if not end and text:
                parts.append(" ")
        done = end
    return "".join([*parts, text[done:]])


def _tokens(seg: str) -> tuple[str, str, str]:
    if not seg or any(char.isspace() for char in seg) or seg in (_OPEN, _CLOSE):
        raise GroundingError(f"{seg!r} can't stand for a track.", "Use a token without blanks, e.g. [SEG].")
    return _OPEN, _CLOSE, seg


class _Reader:
    """Collects words and spans from left to right.

    Markup comes in gaps: tokens with blanks around them, between two stretches of words. What
    separates the words depends on the whole gap, so a gap is read when the next words arrive.
    """

    def __init__(self, tokens: tuple[str, str, str]) -> None:
        self._all = tokens
        self._text = ""
        self._gap: list[tuple[str, str]] = []  # (blanks before, token)
        self._blanks = ""  # after the last token or word
        self._opened: int | None = None  # where the open phrase starts
        self._spans: list[tuple[int, int, list[int]]] = []
        self._count = 0

    def token(self, token: str) -> None:
        self._gap.append((self._blanks, token))
        self._blanks = ""

    def words(self, piece: str) -> None:
        words = piece.strip()
        if not words:
            self._blanks += piece
            return
        begin = piece.index(words)
        self._blanks += piece[:begin]
        self._close_gap(words)
        self._text += words
        self._blanks = piece[begin + len(words) :]

    def finish(self) -> Marked:
        self._close_gap("")
        spans = tuple(Span(start, end, tuple(ids)) for start, end, ids in self._spans)
        return Marked(self._text, spans, self._count)

    def _close_gap(self, following: str) -> None:
        """Read the tokens between the words so far and the ones that follow, and separate the two."""
        separator = self._separator(following) if self._gap else self._blanks
        left, right = len(self._text), len(self._text) + len(separator)
        for _, token in self._gap:
            if token == _OPEN:
                self._opened = right
                continue
            phrase = self._opened if self._opened is not None and self._opened < left else None
            if token == _CLOSE:
                if phrase is not None:
                    self._spans.append((phrase, left, []))
                self._opened = None
                continue
            if phrase is not None:
                self._spans.append((phrase, left, []))
                self._opened = None
            elif not self._spans or self._spans[-1][1] != left:
                self._spans.append((left, left, []))
            self._spans[-1][2].append(self._count)
            self._count += 1
        self._text += separator
        self._gap, self._blanks = [], ""

    def _separator(self, following: str) -> str:
        if not self._text or not following:
            return ""
        before, after = self._text[-1], following[0]
        names = [token for _, token in self._gap]
        blanks = [blank for blank, _ in self._gap] + [self._blanks]
        # Blanks inside a phrase's tags and before [SEG] are the markup's own.
        kept = "".join(
            blank
            for blank, previous, token in zip(blanks, ["", *names], [*names, ""], strict=True)
            if previous != _OPEN and token in ("", _OPEN)
        )
        if after in ".,;:!?)]}" or before in "([{":
            separator = ""
        elif kept:
            separator = "\n" if "\n" in kept else " "
        else:
            spaced = any(blanks) or self._all[2] in names
            separator = " " if spaced and before.isalnum() and after.isalnum() else ""
        # Joining must not make a tag of what was none, as in "<[SEG]p>".
        reach = max(map(len, self._all)) - 1
        joined = self._text[-reach:] + separator + following[:reach]
        return " " if any(token in joined for token in self._all) else separator
