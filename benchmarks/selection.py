"""Which samples of a split are scored: all, the first few, a random few, or named ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Sample


@dataclass(frozen=True)
class Selection:
    """What to take of each split.

    Attributes:
        limit: this many samples; None takes all.
        ids: only samples of these ids; empty takes all.
        shuffle_seed: with ``limit``: a random few instead of the first few. A larger limit holds a smaller
            one's samples, so a run can be prolonged.
    """

    limit: int | None = None
    ids: tuple[str, ...] = ()
    shuffle_seed: int | None = None

    def of(self, samples: Sequence[Sample]) -> list[Sample]:
        """The selected samples of a split, in their order."""
        wanted = set(self.ids)
        found = [sample for sample in samples if not wanted or sample.id in wanted]
        if self.limit is None or self.limit >= len(found):
            return found
        if self.shuffle_seed is None:
            return found[: self.limit]
        drawn = sorted(range(len(found)), key=lambda place: self._draw(found[place].id))[: self.limit]
        return [found[place] for place in sorted(drawn)]

    def _draw(self, id: str) -> bytes:
        return hashlib.sha256(f"{self.shuffle_seed} {id}".encode()).digest()


def read_ids(text: str | None) -> tuple[str, ...]:
    """Sample ids from an option: a file with one a line, or comma-separated.

    Raises:
        GroundingError: none is named, or the file can't be read.
    """
    if text is None:
        return ()
    path = Path(text)
    try:
        listed = path.read_text(encoding="utf-8").splitlines() if path.is_file() else text.split(",")
    except (OSError, ValueError) as error:
        raise GroundingError(f"{path} can't be read: {error}.", "Give one sample id a line.") from error
    found = tuple(dict.fromkeys(item.strip() for item in listed if item.strip()))
    if not found:
        raise GroundingError("--ids names no sample.", "Name a file with one id a line, or ids with commas.")
    return found
