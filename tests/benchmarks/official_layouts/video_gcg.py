"""Video GCG: captions whose words point at masks."""

from pathlib import Path

from .scene import FRAMES, NAMES, VIDEOS, dump, rles, write_frames


def write(root: Path) -> None:
    """The split test, with three videos of BURST."""
    videos, objects = [], []
    for video in range(VIDEOS):
        key = f"clip{video}"
        ids = [2 * video, 2 * video + 1]
        write_frames(root / "video_gcg/burst/frames/set" / key, video)
        dense = {
            "v_id2o_id": {"0": ids[0], "1": ids[1]},
            "token_pos": [1, 2, 7],
            "mask_id": [ids[0], ids[0], [ids[1]]],
            "caption": "A bright box moves right while a square, waits.",
        }
        files = [f"set/{key}/{name}.jpg" for name in NAMES]
        size = {"width": 64, "height": 48, "length": FRAMES}
        videos.append({"id": video, "file_names": files, "dense_cap": dense, **size})
        objects += [
            {"id": id, "video_id": video, "category_id": 1, "segmentations": rles(video, thing), "bboxes": []}
            for thing, id in enumerate(ids)
        ]
    dump(root / "video_gcg/instruction_data/test.json", {"videos": videos, "annotations": objects})
