"""MeViS: masks by annotation id, null where an object is not visible."""

from pathlib import Path

from .scene import NAMES, VIDEOS, dump, rles, write_frames


def write(root: Path) -> None:
    """The split valid_u, with three videos."""
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
