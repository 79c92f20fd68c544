"""VidSTG GCG: frames and masks as pictures, one folder a video, one folder an object."""

from pathlib import Path

import numpy as np
from PIL import Image

from .scene import FRAMES, box_mask, dump, pixels

START = 12  # frames carry their numbers in the source video


def write(root: Path) -> None:
    """The split val, with two captions; the second names two objects in one phrase."""
    captions = ("there is a [bright box](3) above a [dim box](12) .", "[two boxes](12, 3) are there")
    for video, caption in enumerate(captions):
        dump(root / f"vidstg_gcg/val_captions/90{video}.json", {"caption": caption})
        folder = root / f"vidstg_gcg/val/90{video}"
        for frame in range(FRAMES):
            name = f"{START + 3 * frame:06d}.png"
            _save(folder / "frames" / name, pixels(video)[frame])
            for thing, id in enumerate((3, 12)):
                _save(folder / f"masks/{id:03d}" / name, box_mask(video, frame, thing).astype(np.uint8) * 255)


def _save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
