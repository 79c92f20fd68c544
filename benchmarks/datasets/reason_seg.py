"""ReasonSeg: questions about images that need reasoning."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.datasets.files import open_frames, reading
from benchmarks.datasets.published import published
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
from grounding_core.masks import BoolMask, MaskTrack
from grounding_core.types import Query
from grounding_core.video import Video

SOURCE = "https://github.com/dvlab-research/LISA#dataset"


class ReasonSeg(Dataset):
    """``reason_seg/ReasonSeg/<split>/<image>.{jpg,json}``; images are one-frame videos.

    Polygons are painted from the largest to the smallest, as LISA does, over one another: "target" shows the
    object, "ignore" what is not scored, "flag" nothing. A text that is a sentence is asked as a question.
    """

    tasks: ClassVar[tuple[str, ...]] = ("refseg",)
    default_split: ClassVar[str] = "val"
    licence: ClassVar[str] = f"research only (images of OpenImages, CC BY 4.0, and ScanNet); {SOURCE}"
    splits: ClassVar[Mapping[str, Published]] = published("reason-seg")

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample a text, ``<image>/<number>``."""
        folder = self.root / "reason_seg" / "ReasonSeg" / split
        paths = sorted(folder.glob("*.json"))
        if not paths:
            raise DataError(f"{folder} is missing, or holds no JSON files.", f"Get it from {SOURCE}.")
        found = []
        for path in paths:
            image = path.with_suffix(".jpg")
            opening = partial(open_frames, image.with_suffix(".mp4"), [image])
            content = _read(path)
            with reading(path, "the file"):
                sentence = bool(content["is_sentence"])
                for index, text in enumerate(content["text"]):
                    found.append(
                        Sample(
                            id=f"{path.stem}/{index}",
                            video_id=path.stem,
                            query=Query(str(text), "ask" if sentence else "refer"),
                            open_video=opening,
                            load_truth=partial(_truth, path, opening),
                            tags={"form": "sentence" if sentence else "phrase"},
                        )
                    )
        return sorted(found, key=lambda sample: sample.id)

    def parts(self, split: str) -> Sequence[Part]:
        """Images with a JSON file each."""
        return [Part(f"reason_seg/ReasonSeg/{split}", "images, texts and polygons", SOURCE)]


def _read(path: Path) -> Mapping[str, Any]:
    """Most files are UTF-8; a few were saved on Windows."""
    content = path.read_bytes()
    try:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            text = content.decode("cp1252")
        found: Mapping[str, Any] = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}.", f"Get it again from {SOURCE}.") from error
    return found


def _truth(path: Path, opening: partial[Video]) -> Truth:
    size = opening().size
    with reading(path, "the file"):
        shapes = [
            (_painted(shape["points"], size), "ignore" in str(shape["label"]).lower())
            for shape in _read(path)["shapes"]
            if str(shape["label"]).lower() != "flag"
        ]
    target, ignored = np.zeros(size, bool), np.zeros(size, bool)
    for mask, is_ignored in sorted(shapes, key=lambda shape: -int(shape[0].sum())):
        target = target & ~mask if is_ignored else target | mask
        ignored = ignored | mask if is_ignored else ignored & ~mask
    return Truth(
        tracks=(MaskTrack.from_masks(0, [target]),),
        ignored=MaskTrack.from_masks(0, [ignored]) if ignored.any() else None,
    )


def _painted(points: Sequence[Sequence[float]], size: tuple[int, int]) -> BoolMask:
    """A filled polygon with its outline; corners are cut to whole pixels, as the reference does.

    Along slanted edges single pixels differ from the reference's OpenCV: below 0.2 % of the area.
    """
    corners = [(int(x), int(y)) for x, y in points]
    image = Image.new("1", (size[1], size[0]))
    draw = ImageDraw.Draw(image)
    if len(corners) > 2:
        draw.polygon(corners, fill=1)
    draw.line([*corners, *corners[:1]], fill=1)
    return np.array(image, dtype=bool)
