"""Ref-YouTube-VOS: palette masks for train; valid expressions that hold the test videos too."""

from pathlib import Path

from .scene import NAMES, dump, labels, write_frames, write_labels

EVERY_FIFTH = [f"{frame:05d}" for frame in range(0, 30, 5)]


def write(root: Path) -> None:
    """Train: clip0, in which object 3 of clip1's expressions is never drawn. Valid: clip2; test: clip3."""
    home = root / "refer_youtube_vos"
    for video in (0, 1):
        write_frames(home / "train/JPEGImages" / f"clip{video}", video, EVERY_FIFTH)
        write_labels(home / "train/Annotations" / f"clip{video}", labels(video, swapped=True), EVERY_FIFTH)
    write_frames(home / "valid/JPEGImages/clip2", 2)
    write_frames(home / "test/JPEGImages/clip3", 0)
    train = {
        "clip0": _entry(EVERY_FIFTH, [("a bright box moving right", "2"), ("a dim box", "1")]),
        "clip1": _entry(EVERY_FIFTH, [("a bright box", "2"), ("a box that nobody drew", "3")]),
    }
    both = {f"clip{video}": _entry(NAMES, [("a bright box", None), ("a dim box", None)]) for video in (2, 3)}
    _expressions(home, "train", train)
    _expressions(home, "valid", both)
    _expressions(home, "test", {"clip3": both["clip3"]})


def _entry(frames: list[str], expressions: list[tuple[str, str | None]]) -> dict:
    return {
        "frames": frames,
        "expressions": {
            str(place): {"exp": text, **({"obj_id": label} if label else {})}
            for place, (text, label) in enumerate(expressions)
        },
    }


def _expressions(home: Path, split: str, videos: dict) -> None:
    dump(home / "meta_expressions" / split / "meta_expressions.json", {"videos": videos})
