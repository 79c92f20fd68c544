"""Ref-DAVIS17: four expressions an object, in order; palette masks with void pixels."""

from pathlib import Path

from .scene import NAMES, dump, labels, write_frames, write_labels

ANNOTATORS = 4
THINGS = ("bright box", "dim box")


def write(root: Path) -> None:
    """The split valid: two sequences, the first with a line of void pixels."""
    home = root / "refer_davis/2017"
    videos = {}
    for video, name in enumerate(("bear", "blackswan")):
        drawn = labels(video)
        if video == 0:
            drawn[:, 0] = 255
        write_frames(home / "valid/JPEGImages" / name, video)
        write_labels(home / "valid/Annotations" / name, drawn)
        texts = [f"the {thing}, says {person}" for thing in THINGS for person in range(ANNOTATORS)]
        expressions = {
            str(place): {"exp": text, "obj_id": str(place // ANNOTATORS + 1)}
            for place, text in enumerate(texts)
        }
        videos[name] = {"frames": NAMES, "expressions": expressions}
    dump(home / "meta_expressions/valid/meta_expressions.json", {"videos": videos})
