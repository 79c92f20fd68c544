"""Video GCG: captions whose words point at masks.

Odd as the published files are: a video without a caption, positions before the first word and beyond the
masks, two blanks in a row, codes as lists of runs, masks of one more frame than there are, and frames of
BURST and of YTVIS in their own folders (or, for the last video, below ``video_gcg/``).
"""

from pathlib import Path

from pycocotools import mask as coco

from .scene import FRAMES, NAMES, VIDEOS, dump, rles, write_frames

FOLDERS = ("burst/frames/val", "ytvis/vos/train/JPEGImages", "video_gcg/burst/frames")
SOURCES = ({"metadata": {"dataset": "YFCC100M"}}, {"dataset_split": "yt19"}, {"dataset_split": "burst"})


def write(root: Path) -> None:
    """The split test, with three videos."""
    videos, objects = [], []
    for video in range(VIDEOS):
        key = f"clip{video}"
        ids = [2 * video, 2 * video + 1]
        write_frames(root / FOLDERS[video] / "set" / key, video)
        dense = {
            "v_id2o_id": {"0": ids[0], "1": ids[1]},
            "token_pos": [-1, 1, 2, 8, 4],
            "mask_id": [ids[0], ids[0], ids[0], [ids[1]]],
            "caption": "A bright box moves  right while a square, waits.",
        }
        files = [f"set/{key}/{name}.jpg" for name in NAMES]
        size = {"width": 64, "height": 48, "length": FRAMES}
        videos.append({"id": video, "file_names": files, "dense_cap": dense, **size, **SOURCES[video]})
        objects += [
            {"id": id, "video_id": video, "category_id": 1, "segmentations": masks, "bboxes": []}
            for id, masks in zip(ids, (rles(video, 0), [*map(_runs, rles(video, 1)), None]), strict=True)
        ]
    nothing = dict.fromkeys(("v_id2o_id", "token_pos", "mask_id", "caption"))
    videos.append({**videos[0], "id": VIDEOS, "dense_cap": nothing})
    dump(root / "video_gcg/instruction_data/test.json", {"videos": videos, "annotations": objects})


def _runs(rle: dict) -> dict:
    """The same mask with its runs as a list, columns first."""
    flat = coco.decode(rle).T.ravel()
    counts, value, run = [], 0, 0
    for pixel in flat:
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    return {"size": rle["size"], "counts": [int(count) for count in [*counts, run]]}
