"""Where objects come from: data sets, files, plain videos."""

from __future__ import annotations

from pathlib import Path

from benchmarks.annotate.items import Source
from benchmarks.annotate.steps import Where, build
from grounding_core.config import Part


def find(source: str, part: Part | None, where: Where) -> tuple[Part, Source]:
    """The source a user means, and the component that reads it.

    Args:
        source: a data set (``name`` or ``name:split``), a JSON file, or a video or folder of videos.
        part: the recipe's object source; None guesses: ``classes`` for a JSON file, ``videos`` for what is
            on disk, else ``expressions`` or ``sentences``, whichever the data set has.
        where: where to look.

    Raises:
        GroundingError: there is no such source, or it can't be read.
    """
    part = part or guess(source)
    return part, build("objects", part).find(source, where)


def guess(source: str) -> Part:
    """The object source that a name suggests."""
    path = Path(source)
    if path.suffix.lower() == ".json":
        return Part(type="classes")
    if path.exists():
        return Part(type="videos")
    from benchmarks.annotate.sources.datasets import has_expressions

    return Part(type="expressions" if has_expressions(source) else "sentences")
