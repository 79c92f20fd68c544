"""The values that travel between parts: a question, and text that points at mask tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from grounding_core.errors import GroundingError, QueryError
from grounding_core.masks import MaskTrack

if TYPE_CHECKING:
    from grounding_core.video import Video

QueryKind = Literal["describe", "refer", "ask", "locate"]


@dataclass(frozen=True)
class Query:
    """A question about a video.

    Attributes:
        text: what the user wrote; may be empty only for ``describe``.
        kind: ``describe`` the whole video; ``refer`` to an object by an expression ("the red cat");
            ``ask`` a question ("what moves left?"); ``locate`` the subject of a statement
            ("the red cat moves left"). Each kind has one prompt template in a recipe.
    """

    text: str = ""
    kind: QueryKind = "refer"

    def __post_init__(self) -> None:
        if self.kind not in get_args(QueryKind):
            raise QueryError(
                f"Query kind {self.kind!r} is unknown.", f"Use one of {', '.join(get_args(QueryKind))}."
            )
        if self.kind != "describe" and not self.text.strip():
            raise QueryError(
                "The question is empty.", "Name what to look for, or use a query of kind 'describe'."
            )
        # What Python makes of bytes that are no text, and no tokenizer takes.
        if any("\ud800" <= letter <= "\udfff" for letter in self.text):
            raise QueryError("The question is not text in UTF-8.", "Set the terminal or the file to UTF-8.")


@dataclass(frozen=True)
class Span:
    """``text[start:end]`` refers to the tracks with these ids (many to many; may be none).

    A zero-width span (``start == end``) is a track that the text points at without a phrase.
    """

    start: int
    end: int
    tracks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise GroundingError(f"Span [{self.start}:{self.end}] is not a range.", "Use 0 <= start <= end.")


@dataclass(frozen=True)
class GroundedText:
    """The answer to every question: text, spans in it, and the mask tracks they point at.

    Attributes:
        text: clean text, without markup.
        spans: in text order; each names track ids that exist in ``tracks``.
        tracks: one per object, ids unique.
        meta: facts about how the answer came about (generated markup, seconds, truncation).
        video: what was asked about, where it is at hand; files do not hold it.

    Raises:
        GroundingError: a span leaves the text or names a track that is not there.
    """

    text: str
    spans: tuple[Span, ...] = ()
    tracks: tuple[MaskTrack, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict, compare=False)
    video: Video | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        ids = [track.id for track in self.tracks]
        if len(set(ids)) != len(ids):
            raise GroundingError(f"Track ids {ids} are not unique.", "Give each track its own id.")
        for span in self.spans:
            if span.end > len(self.text):
                raise GroundingError(
                    f"Span [{span.start}:{span.end}] leaves a text of {len(self.text)} characters.",
                    "Use offsets into the clean text.",
                )
            missing = sorted(set(span.tracks) - set(ids))
            if missing:
                raise GroundingError(
                    f"Span [{span.start}:{span.end}] names tracks {missing} that the answer lacks.",
                    f"Known tracks: {ids}.",
                )

    def phrase(self, span: Span) -> str:
        """The words of a span."""
        return self.text[span.start : span.end]

    def _repr_html_(self) -> str:
        """How a notebook shows it: text with coloured phrases, masks playing over the video."""
        from grounding_core.player.embed import answer_html

        return answer_html(self)
