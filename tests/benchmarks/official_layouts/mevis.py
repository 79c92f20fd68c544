"""MeViS: masks by annotation id, null where an object is not visible; a split without public masks."""

from pathlib import Path

from .scene import NAMES, VIDEOS, dump, rles, write_frames


def write(root: Path) -> None:
    """The split valid_u with three videos, train and valid with one."""
    _write_valid_u(root)
    _write_train(root)
    _write_valid(root)


def _write_train(root: Path) -> None:
    """Object 4 is in no frame and object 5 only in the last three; ids are text here, numbers there."""
    write_frames(root / "mevis/train/JPEGImages/clip0", 0)
    late = [*[None] * 3, *rles(0, 1)[3:]]
    expressions = {
        "0": {"exp": "everything", "obj_id": [0, 1, 2], "anno_id": [3, "4", 5]},
        "10": {"exp": "the late box", "obj_id": [2], "anno_id": ["5"]},
        "2": {"exp": "what nobody sees", "obj_id": [1], "anno_id": [4]},
    }
    dump(
        root / "mevis/train/meta_expressions.json",
        {"videos": {"clip0": {"frames": NAMES, "vid_id": 9, "expressions": expressions}}},
    )
    dump(root / "mevis/train/mask_dict.json", {"3": rles(0, 0), "4": [None] * len(NAMES), "5": late})


def _write_valid(root: Path) -> None:
    """Expressions alone, without objects."""
    write_frames(root / "mevis/valid/JPEGImages/clip0", 0)
    entry = {"frames": NAMES, "vid_id": 1, "expressions": {"0": {"exp": "the box that moves"}}}
    dump(root / "mevis/valid/meta_expressions.json", {"videos": {"clip0": entry}})


def _write_valid_u(root: Path) -> None:
    videos, masks = {}, {}
    for video in range(VIDEOS):
        key = f"clip{video}"
        ids = [2 * video, 2 * video + 1]
        write_frames(root / "mevis/valid_u/JPEGImages" / key, video)
        masks |= {str(id): rles(video, thing) for thing, id in enumerate(ids)}
        first = {"exp": "the box that moves right", "obj_id": [0], "anno_id": ids[:1]}
        videos[key] = {
            "frames": NAMES,
            "expressions": {
                "0": {**first, "tags": {"kind": "motion"}},
                "1": {"exp": "the dim box", "obj_id": [1], "anno_id": ids[1:]},
                "2": {"exp": "both boxes", "obj_id": [0, 1], "anno_id": ids},
            },
        }
    dump(root / "mevis/valid_u/meta_expressions.json", {"videos": videos})
    dump(root / "mevis/valid_u/mask_dict.json", masks)
