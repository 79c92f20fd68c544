"""Small data sets written in the official layouts, with every mask known."""

import json
from pathlib import Path

import av
import numpy as np
from PIL import Image
from pycocotools import mask as coco

SIZE = (48, 64)
FRAMES = 6
VIDEOS = 3


def box_mask(video: int, frame: int, thing: int) -> np.ndarray:
    """Thing 0 is bright and moves right; thing 1 is dim and stays."""
    mask = np.zeros(SIZE, dtype=bool)
    if thing == 0:
        left = 4 + 6 * frame + 2 * video
        mask[6:20, left : left + 14] = True
    else:
        mask[28:42, 40 - 4 * video : 56 - 4 * video] = True
    return mask


def rle(mask: np.ndarray) -> dict | None:
    if not mask.any():
        return None
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": code["size"], "counts": code["counts"].decode()}


def write_official(root: Path) -> Path:
    """MeViS (JPEG), VidSTG (mp4) and video GCG (JPEG) with three videos each."""
    mevis, masks, stg, tubes, gcg, objects = {}, {}, [], {}, [], []
    names = [f"{frame:05d}" for frame in range(FRAMES)]
    for video in range(VIDEOS):
        key = f"clip{video}"
        pixels = np.full((FRAMES, *SIZE, 3), 20, np.uint8)
        for frame in range(FRAMES):
            pixels[frame][box_mask(video, frame, 0)] = (230, 60, 40)
            pixels[frame][box_mask(video, frame, 1)] = (30, 40, 90)
        for folder in (root / "mevis/valid_u/JPEGImages" / key, root / "video_gcg/burst/frames/set" / key):
            folder.mkdir(parents=True)
            for name, image in zip(names, pixels, strict=True):
                Image.fromarray(image).save(folder / f"{name}.jpg", quality=95)
        write_mp4(root / "vidstg/video/a" / f"{key}.mp4", pixels)
        tracks = [[rle(box_mask(video, frame, thing)) for frame in range(FRAMES)] for thing in (0, 1)]
        ids = [2 * video, 2 * video + 1]
        masks |= {str(id): track for id, track in zip(ids, tracks, strict=True)}
        expressions = {
            "0": {
                "exp": "the box that moves right",
                "obj_id": [0],
                "anno_id": ids[:1],
                "tags": {"kind": "motion"},
            },
            "1": {"exp": "the dim box", "obj_id": [1], "anno_id": ids[1:]},
            "2": {"exp": "both boxes", "obj_id": [0, 1], "anno_id": ids},
        }
        mevis[key] = {"frames": names, "expressions": expressions}
        tubes[key] = {"7": {}}
        for frame in range(1, 5):
            x, y = 4 + 6 * frame + 2 * video, 6
            tubes[key]["7"][str(frame)] = {"bbox": [x, y, 14, 14]}
        for qtype, text in (("declarative", "the box moves right"), ("interrogative", "what moves right?")):
            stg.append(
                {
                    "video_id": len(stg), "original_video_id": key, "frame_count": FRAMES, "fps": 6,
                    "width": 64, "height": 48, "start_frame": 1, "end_frame": FRAMES, "tube_start_frame": 1,
                    "tube_end_frame": 5, "video_path": f"a/{key}.mp4", "caption": text, "type": "box",
                    "target_id": 7, "qtype": qtype,
                }
            )  # fmt: skip
        dense = {
            "v_id2o_id": {"0": ids[0], "1": ids[1]},
            "token_pos": [1, 2, 7],
            "mask_id": [ids[0], ids[0], [ids[1]]],
            "caption": "A bright box moves right while a square, waits.",
        }
        files = [f"set/{key}/{name}.jpg" for name in names]
        size = {"width": 64, "height": 48, "length": FRAMES}
        gcg.append({"id": video, "file_names": files, "dense_cap": dense, **size})
        objects += [
            {"id": id, "video_id": video, "category_id": 1, "segmentations": track, "bboxes": []}
            for id, track in zip(ids, tracks, strict=True)
        ]
    _dump(root / "mevis/valid_u/meta_expressions.json", {"videos": mevis})
    _dump(root / "mevis/valid_u/mask_dict.json", masks)
    _dump(root / "vidstg/test.json", {"videos": stg, "trajectories": tubes})
    _dump(root / "video_gcg/instruction_data/test.json", {"videos": gcg, "annotations": objects})
    return root


def write_mp4(path: Path, frames: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=6)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _dump(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
