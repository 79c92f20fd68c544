"""VidSTG in TubeDETR's processed form: sentences with boxes, and videos as files."""

from pathlib import Path

import numpy as np

from .scene import FRAMES, VIDEOS, box_mask, dump, pixels, write_mp4


def write(root: Path) -> None:
    """The split test, with three videos."""
    sentences, tubes = [], {}
    for video in range(VIDEOS):
        key = f"clip{video}"
        write_mp4(root / "vidstg/video/a" / f"{key}.mp4", pixels(video))
        tubes[key] = {"7": {}}
        for frame in range(1, 5):
            x, y = 4 + 6 * frame + 2 * video, 6
            tubes[key]["7"][str(frame)] = {"bbox": [x, y, 14, 14]}
        for qtype, text in (("declarative", "the box moves right"), ("interrogative", "what moves right?")):
            sentences.append(
                {
                    "video_id": len(sentences), "original_video_id": key, "frame_count": FRAMES, "fps": 6,
                    "width": 64, "height": 48, "start_frame": 1, "end_frame": FRAMES, "tube_start_frame": 1,
                    "tube_end_frame": 5, "video_path": f"a/{key}.mp4", "caption": text, "type": "box",
                    "target_id": 7, "qtype": qtype,
                }
            )  # fmt: skip
    dump(root / "vidstg/test.json", {"videos": sentences, "trajectories": tubes})


def write_raw(root: Path) -> None:
    """Annotations of test as VidSTG and VidOR publish them, with the videos of :func:`write`.

    A relation has its own segment and moment (ends excluded), sentences about its subject, and VidOR's boxes
    as corners for every object in every frame. The last video has two relations.
    """
    entries = []
    for video in range(VIDEOS):
        key = f"clip{video}"
        boxes = [
            [
                {"tid": tid, "bbox": _corners(video, frame, thing), "generated": 0, "tracker": "none"}
                for thing, tid in enumerate((7, 2))
            ]
            for frame in range(FRAMES)
        ]
        facts = {"frame_count": FRAMES, "fps": 6.0, "width": 64, "height": 48}
        things = [{"tid": 7, "category": "toy"}, {"tid": 2, "category": "box"}, {"tid": 9, "category": "cat"}]
        vidor = {"video_id": key, "video_path": f"a/{key}.mp4", **facts, "subject/objects": things}
        dump(root / f"vidstg/vidor_annotations/validation/a/{key}.json", {**vidor, "trajectories": boxes})
        entry = {
            "vid": key,
            **facts,
            "subject/objects": things,
            "used_segment": {"begin_fid": 1, "end_fid": FRAMES},
            "used_relation": {"subject_tid": 7, "object_tid": 2, "predicate": "above"},
            "temporal_gt": {"begin_fid": 1, "end_fid": 5},
            "captions": [{"target_id": 7, "type": "subject", "description": "the box moves right"}],
            "questions": [{"target_id": 7, "type": "subject", "description": "what moves right?"}],
        }
        entries.append(entry)
        if video == VIDEOS - 1:
            below = [{"target_id": 2, "type": "object", "description": "the dim box is below"}]
            entries.append(
                {**entry, "captions": below, "questions": [], "temporal_gt": {"begin_fid": 2, "end_fid": 4}}
            )
    dump(root / "vidstg/vidstg_annotations/test_annotations.json", entries)


def write_captions(root: Path) -> None:
    """Captions of two relations of test; ids are VidOR's."""
    for video, caption in enumerate(("A [box](7) is above [another](2).", "[Boxes](7, 2) are there.")):
        dump(root / f"vidstg_gcg/test_captions/clip{video}.json", {"caption": caption})


def _corners(video: int, frame: int, thing: int) -> dict[str, int]:
    rows, columns = np.nonzero(box_mask(video, frame, thing))
    return {
        "xmin": int(columns.min()),
        "ymin": int(rows.min()),
        "xmax": int(columns.max()) + 1,
        "ymax": int(rows.max()) + 1,
    }
