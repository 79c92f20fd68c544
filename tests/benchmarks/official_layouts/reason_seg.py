"""ReasonSeg: an image and a JSON file of polygons each; ignored regions, flags, a file saved on Windows."""

import json
from pathlib import Path

from PIL import Image

from .scene import pixels


def box(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    """Corners of a box whose last row and column belong to it; cut to whole pixels."""
    return [[left + 0.4, top + 0.9], [right, top], [right, bottom], [left, bottom]]


def write(root: Path) -> None:
    """The split val: a sentence, and two phrases in a file that is not UTF-8."""
    folder = root / "reason_seg/ReasonSeg/val"
    folder.mkdir(parents=True)
    for name in ("1_a", "2_b"):
        Image.fromarray(pixels(0)[0]).save(folder / f"{name}.jpg")
    nested = {
        "text": ["Which thing would you move?"],
        "is_sentence": True,
        "shapes": [
            {"label": "ignore", "points": box(12, 12, 14, 14)},
            {"label": "target", "points": box(4, 4, 23, 23)},
            {"label": "flag", "points": box(0, 0, 60, 40)},
            {"label": "target", "points": box(30, 30, 31, 31)},
        ],
    }
    phrases = {
        "text": ["the café’s box", "the box"],
        "is_sentence": False,
        "shapes": [{"label": "target", "points": box(0, 0, 3, 3)}],
    }
    (folder / "1_a.json").write_text(json.dumps(nested), encoding="utf-8")
    (folder / "2_b.json").write_bytes(json.dumps(phrases, ensure_ascii=False).encode("cp1252"))
