"""ReVOS: one file of masks for both splits, foregrounds, types of expressions, slashes in names."""

from pathlib import Path

from .scene import FRAMES, NAMES, SIZE, box_mask, dump, rle, rles, write_frames

VIDEO = "UVO/all/-clip0"
TEXTS = (
    ("the bright box", [10], 0),
    ("Which box could be leaving the picture soon?", [10], 1),
    ("both boxes", [10, 11], 0),
    ("the elephant", [], 2),
)


def write(root: Path) -> None:
    """The split valid, one video."""
    home = root / "ReVOS"
    write_frames(home / "JPEGImages" / VIDEO, 0)
    expressions = {
        str(place): {"exp": text, "obj_id": list(range(len(ids))), "anno_id": ids, "type_id": kind}
        for place, (text, ids, kind) in enumerate(TEXTS)
    }
    videos = {VIDEO: {"frames": NAMES, "height": SIZE[0], "width": SIZE[1], "expressions": expressions}}
    everything = [rle(box_mask(0, frame, 0) | box_mask(0, frame, 1)) for frame in range(FRAMES)]
    dump(home / "meta_expressions_valid_.json", {"videos": videos})
    dump(home / "mask_dict.json", {"10": rles(0, 0), "11": rles(0, 1)})
    dump(home / "mask_dict_foreground.json", {VIDEO: {"masks_rle": everything}})
