"""HC-STVG 2.0 as published: frames counted from 1, boxes as x, y, width, height, sizes as height, width."""

from pathlib import Path

from .scene import FRAMES, SIZE, VIDEOS, dump, pixels, write_mp4

FIRST, LAST = 2, 5  # counted from 1, both in the moment


def write(root: Path) -> None:
    """The raw annotations of val, with three clips in numbered folders, and VideoGLaMM's questions."""
    entries = {}
    for video in range(VIDEOS):
        write_mp4(root / f"hcstvg/Video/{video}/{video}_scene.mp4", pixels(video))
        entries[f"{video}_scene.mp4"] = {
            "img_num": FRAMES,
            "img_size": list(SIZE),
            "st_frame": FIRST,
            "ed_frame": LAST,
            "st_time": (FIRST - 1) / 6,
            "ed_time": LAST / 6,
            "bbox": [[4 + 6 * (frame - 1) + 2 * video, 6, 14, 14] for frame in range(FIRST, LAST + 1)],
            "English": "The box in red moves to the right.",
        }
        dump(root / f"hcstvg/qa/{video}.json", {"Q": "Who moves to the right?", "A": "The box in red."})
    dump(root / "hcstvg/anno_v2/val_v2.json", entries)


def write_captions(root: Path) -> None:
    """Captions of the clips, named by number."""
    for video in range(VIDEOS):
        marked = {"caption": "[The box in red](0) moves to the right."}
        dump(root / f"hcstvg_gcg/val_captions/{video:06d}.json", marked)
