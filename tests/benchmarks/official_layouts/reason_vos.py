"""ReasonVOS: expressions in lists, masks by object, frames without masks, underscores in names."""

from pathlib import Path

import numpy as np
from PIL import Image

from .scene import NAMES, box_mask, dump, write_frames

EVERY_SECOND = range(0, 6, 2)


def write(root: Path) -> None:
    """One video of BURST with masks of every second frame, one of MeViS with all of them."""
    home = root / "ReasonVOS"
    videos = {}
    for video, (source, name, frames) in enumerate(
        (("BURST", "a_street", EVERY_SECOND), ("MeViS", "clip1", range(6)))
    ):
        write_frames(home / "JPEGImages" / name, video)
        for thing in (0, 1):
            folder = home / "Annotations" / f"{source}_{name}_{thing}"
            folder.mkdir(parents=True)
            for frame in frames:
                mask = box_mask(video, frame, thing).astype(np.uint8) * 255
                Image.fromarray(mask).save(folder / f"{NAMES[frame]}.png")
        expressions = [
            {"obj_id": 0, "exp_id": 0, "exp_text": "Which box will leave first?", "is_sent": True},
            {"obj_id": 0, "exp_id": 1, "exp_text": "the mover", "is_sent": False},
            {"obj_id": 1, "exp_id": 0, "exp_text": "the box at rest", "is_sent": False},
        ]
        videos[name] = {"source": source, "expressions": expressions}
    dump(home / "meta_expressions.json", {"videos": videos})
