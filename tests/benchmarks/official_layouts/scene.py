"""What every fixture shows: two boxes whose masks are known, and how they are written to disk."""

import json
from pathlib import Path

import av
import numpy as np
from PIL import Image
from pycocotools import mask as coco

SIZE = (48, 64)
FRAMES = 6
VIDEOS = 3
NAMES = [f"{frame:05d}" for frame in range(FRAMES)]


def box_mask(video: int, frame: int, thing: int) -> np.ndarray:
    """Thing 0 is bright and moves right; thing 1 is dim and stays."""
    mask = np.zeros(SIZE, dtype=bool)
    if thing == 0:
        left = 4 + 6 * frame + 2 * video
        mask[6:20, left : left + 14] = True
    else:
        mask[28:42, 40 - 4 * video : 56 - 4 * video] = True
    return mask


def pixels(video: int) -> np.ndarray:
    """uint8 (FRAMES, *SIZE, 3)."""
    found = np.full((FRAMES, *SIZE, 3), 20, np.uint8)
    for frame in range(FRAMES):
        found[frame][box_mask(video, frame, 0)] = (230, 60, 40)
        found[frame][box_mask(video, frame, 1)] = (30, 40, 90)
    return found


def rle(mask: np.ndarray) -> dict | None:
    if not mask.any():
        return None
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": code["size"], "counts": code["counts"].decode()}


def rles(video: int, thing: int) -> list[dict | None]:
    return [rle(box_mask(video, frame, thing)) for frame in range(FRAMES)]


def write_frames(folder: Path, video: int, names: list[str] = NAMES) -> None:
    folder.mkdir(parents=True)
    for name, image in zip(names, pixels(video), strict=False):
        Image.fromarray(image).save(folder / f"{name}.jpg", quality=95)


def write_labels(folder: Path, labels: np.ndarray, names: list[str] = NAMES) -> None:
    """Palette images, as DAVIS and YouTube-VOS store masks: the index is the object."""
    folder.mkdir(parents=True)
    for name, label in zip(names, labels, strict=True):
        image = Image.fromarray(label.astype(np.uint8), mode="P")
        image.putpalette([0, 0, 0, 236, 95, 103, 249, 145, 87, 250, 200, 99, *[224] * (252 * 3)])
        image.save(folder / f"{name}.png")


def labels(video: int, swapped: bool = False) -> np.ndarray:
    """uint8 (FRAMES, *SIZE): thing 0 is object 1 and thing 1 object 2, or the other way round."""
    first, second = (2, 1) if swapped else (1, 2)
    found = np.zeros((FRAMES, *SIZE), np.uint8)
    for frame in range(FRAMES):
        found[frame][box_mask(video, frame, 0)] = first
        found[frame][box_mask(video, frame, 1)] = second
    return found


def write_mp4(path: Path, frames: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=6)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def dump(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
