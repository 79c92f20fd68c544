"""MeViS GCG: marked captions of MeViS's videos; the second names a group that no expression names."""

from pathlib import Path

from .scene import dump

CAPTIONS = (
    "A [box that moves](0) passes [another one](1); [both boxes](0, 1) stay [sic] in view.",
    "[Two boxes](1, 0) are seen.",
)


def write(root: Path) -> None:
    """Captions of two of the videos of MeViS's valid_u."""
    for video, caption in enumerate(CAPTIONS):
        dump(root / f"mevis_gcg/valid_u/clip{video}.json", {"caption": caption})
