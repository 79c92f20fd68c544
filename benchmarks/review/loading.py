"""Opens a review from what a user names."""

from __future__ import annotations

from pathlib import Path

from benchmarks.audit import auditing
from benchmarks.review.reviewing import Review
from grounding_core.errors import DataError


def load_review(
    name_or_dir: str, out: Path, audit: Path | None, data_root: Path | None, split: str | None
) -> Review:
    """The review of a data set, or of everything below a folder.

    Raises:
        GroundingError: there is no such data, or the audit is about other data.
    """
    if Path(name_or_dir).is_dir():
        questions = auditing.below(Path(name_or_dir))
    elif data_root is None:
        raise DataError(f"The data set {name_or_dir!r} is read from disk.", "Name --data-root.")
    else:
        questions = auditing.named(name_or_dir, split, data_root)
    return Review(questions, out, None if audit is None else audit / "findings.jsonl")
