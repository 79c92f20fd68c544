"""What a whole model does, composed or not: encode a video once, answer many questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from grounding_core.markup import Marked
from grounding_core.types import GroundedText, Query
from grounding_core.video import Video


def opened(model: Grounder, video: Video) -> Any:
    """What ``ground`` is given for a video: its encoding.

    A model that chooses frames by the question can't encode before it: then the video itself.
    """
    return video if getattr(model, "selects_by_query", False) else model.encode(video)


def ask(
    model: Grounder,
    context: Any,
    query: Query,
    *,
    history: Sequence[tuple[str, str]] = (),
    told: Callable[[Marked], None] | None = None,
) -> GroundedText:
    """One answer of any model.

    Args:
        model: who is asked.
        context: what `opened` gave.
        query: the question.
        history: earlier turns; read by a model that ``converses``, others owe answers alone.
        told: is told of the text while it is written, by the same models.
    """
    if not getattr(model, "converses", False):
        return model.ground(context, [query])[0]
    # Attributes beyond the protocol come with `converses`.
    conversing: Any = model
    watch = None if told is None else lambda _, marked: told(marked)
    (answer,) = conversing.ground(context, [query], history=history, told=watch)
    return answer  # type: ignore[no-any-return]


@runtime_checkable
class Grounder(Protocol):
    """A model the harness and the commands can drive."""

    def encode(self, video: Video) -> Any:
        """Everything about a video that all its questions share."""

    def ground(self, context: Any, queries: Sequence[Query]) -> list[GroundedText]:
        """Answers in the order of ``queries``; masks at the video's own size, one a frame."""

    def fingerprint(self) -> dict[str, str]:
        """What must be equal for two runs to give the same predictions (recipe, weights, versions)."""
