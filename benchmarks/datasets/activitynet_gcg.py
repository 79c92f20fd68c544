"""ActivityNet-Entities GCG: refined captions of ten frames, with masks in one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.datasets.files import caption_files, read_json, reading
from benchmarks.datasets.mask_files import read_labels
from benchmarks.datasets.published import published
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
from grounding_core.markup import SEG
from grounding_core.markup import parse as parse_markup
from grounding_core.masks import MaskTrack, encode
from grounding_core.types import GroundedText, Query, Span
from grounding_core.video import Video
from grounding_core.video.images import images_in

SOURCE = "https://github.com/mbzuai-oryx/VideoGLaMM"
FOLDER = "activitynet_entities_gcg"
SEPARATOR = "____"
"""Between video and segment in a file's name."""
_NUMBERED = re.compile(r"\[SEG:(\d+)\]")


class ActivityNetGCG(Dataset):
    """``activitynet_entities_gcg/{anns/<v>____<s>.json, masks/<v>____<s>/<id:02d>/mask.png,
    video_frames/<v>/<s>/*.jpg}``.

    ``refined_caption`` holds ``<p> a man </p> [SEG:1]``, where one number may come several times. All boxes
    of a sample, and so its masks, are of one frame (``frame_id``); no other frame is annotated. There is
    one split, for training.
    """

    tasks: ClassVar[tuple[str, ...]] = ("gcg",)
    default_split: ClassVar[str] = "train"
    licence: ClassVar[str] = f"none stated, so research only; {SOURCE}"
    splits: ClassVar[Mapping[str, Published]] = published("activitynet-gcg")

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample a segment, ``<video>____<segment>``."""
        found = []
        for path in caption_files(self.root / FOLDER / "anns", SOURCE):
            video, separator, segment = path.stem.rpartition(SEPARATOR)
            if not separator:
                raise DataError(
                    f"{path} is not named <video>{SEPARATOR}<segment>.json.", f"Get it again from {SOURCE}."
                )
            frames = self.root / FOLDER / "video_frames" / video / segment
            found.append(
                Sample(
                    id=path.stem,
                    video_id=path.stem,
                    query=Query(kind="describe"),
                    open_video=partial(_open, frames),
                    load_truth=partial(self._truth, path, frames),
                )
            )
        return found

    def parts(self, split: str) -> Sequence[Part]:
        """Captions, masks and frames."""
        holds = {"anns": "captions", "masks": "masks", "video_frames": "frames"}
        return [Part(f"{FOLDER}/{folder}", what, SOURCE) for folder, what in holds.items()]

    def _truth(self, path: Path, frames: Path) -> Truth:
        content = read_json(path, SOURCE)
        with reading(path, "the segment"):
            caption = str(content["refined_caption"])
            numbers = [int(number) for number in _NUMBERED.findall(caption)]
            marked = parse_markup(_NUMBERED.sub(SEG, caption))
            names = [image.stem for image in _images(frames)]
            place = _annotated_frame(content["seg_token_to_obj"], numbers, names)
        masks = self.root / FOLDER / "masks" / path.stem
        tracks = []
        for number in dict.fromkeys(numbers):
            mask = read_labels(masks / f"{number:02d}" / "mask.png", SOURCE) > 127
            shown: list[bytes | None] = [None] * len(names)
            shown[place] = encode(mask)
            tracks.append(MaskTrack(number, (int(mask.shape[0]), int(mask.shape[1])), tuple(shown)))
        spans = tuple(
            Span(span.start, span.end, tuple(dict.fromkeys(numbers[i] for i in span.tracks)))
            for span in marked.spans
        )
        text = GroundedText(marked.text, spans, tuple(tracks))
        return Truth(tracks=tuple(tracks), caption=text, annotated=(place,))


def _annotated_frame(objects: Mapping[str, Any], numbers: Sequence[int], names: Sequence[str]) -> int:
    """Place of the one frame in which all objects of a caption have their boxes."""
    if not numbers:
        raise ValueError("its caption names no object")
    found = {int(objects[f"[SEG:{number}]"]["frame_id"]) for number in numbers}
    if len(found) != 1:
        raise ValueError(f"its objects have their boxes in different frames: {sorted(found)}")
    name = f"{found.pop():02d}"
    if name not in names:
        raise ValueError(f"its annotated frame {name} is not among its frames")
    return names.index(name)


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"The frames {folder} are missing.", f"Get them from {SOURCE}.")
    return images_in(folder)


def _open(folder: Path) -> Video:
    return Video.open(_images(folder))
