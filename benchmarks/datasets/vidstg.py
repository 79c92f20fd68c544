"""VidSTG: statements and questions about one object, with its moment and its boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.datasets.files import read_json, reading, tags_of
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Box, Dataset, Sample, Truth
from grounding_core.types import Query, QueryKind
from grounding_core.video import Video

SOURCE = "https://github.com/Guaranteer/VidSTG-Dataset, processed as in https://github.com/antoyang/TubeDETR"
KINDS: dict[str, QueryKind] = {"declarative": "locate", "interrogative": "ask"}


class VidSTG(Dataset):
    """``vidstg/<split>.json`` in TubeDETR's processed form, and ``vidstg/video/``.

    The video is the part [start_frame, end_frame) of its file; frames of the truth count from there.
    """

    tasks: ClassVar[tuple[str, ...]] = ("grounding",)
    default_split: ClassVar[str] = "test"
    licence: ClassVar[str] = f"research only; {SOURCE}"

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample a sentence, ``<original video>/<number>``."""
        path = self.root / "vidstg" / f"{split}.json"
        content = read_json(path, SOURCE)
        found = []
        with reading(path, "the file"):
            for entry in content["videos"]:
                with reading(path, f"sentence {entry.get('video_id')}"):
                    tubes = content["trajectories"][str(entry["original_video_id"])]
                    found.append(self._sample(path, entry, tubes))
        return sorted(found, key=lambda sample: sample.id)

    def _sample(self, path: Path, entry: Mapping[str, Any], tubes: Mapping[str, Any]) -> Sample:
        video = str(entry["original_video_id"])
        clip = int(entry["start_frame"]), int(entry["end_frame"])
        moment = int(entry["tube_start_frame"]), int(entry["tube_end_frame"])
        qtype = str(entry["qtype"])
        target = str(entry["target_id"])
        others = [tube for name, tube in tubes.items() if name != target]
        id = f"{video}/{entry['video_id']}"
        return Sample(
            id=id,
            video_id=f"{video}[{clip[0]}:{clip[1]}]",
            query=Query(str(entry["caption"]), KINDS[qtype]),
            open_video=partial(_open, self.root / "vidstg" / "video" / str(entry["video_path"]), clip),
            load_truth=partial(_truth, path, id, (tubes[target], *others), clip, moment),
            tags={"qtype": qtype, **tags_of(entry)},
        )


def _open(path: Path, clip: tuple[int, int]) -> Video:
    if not path.is_file():
        raise DataError(f"The video {path} is missing.", f"Get it from {SOURCE}.")
    video = Video.open(path)
    # The annotations sometimes count a frame more than the file holds.
    stop = min(clip[1], len(video))
    return video if (clip[0], stop) == (0, len(video)) else video.clip(clip[0], stop)


def _truth(
    path: Path, id: str, tubes: Sequence[Mapping[str, Any]], clip: tuple[int, int], moment: tuple[int, int]
) -> Truth:
    """The target's boxes inside the moment; the other objects' inside the clip."""
    with reading(path, f"sentence {id}"):
        target, *others = (
            _boxes(tube, first, end, clip[0])
            for tube, (first, end) in zip(tubes, [moment, *[clip] * (len(tubes) - 1)], strict=True)
        )
    return Truth(boxes=target, interval=(moment[0] - clip[0], moment[1] - clip[0]), others=others)


def _boxes(tube: Mapping[str, Any], start: int, stop: int, origin: int) -> dict[int, Box]:
    boxes: dict[int, Box] = {}
    for frame, entry in tube.items():
        if start <= int(frame) < stop:
            x, y, width, height = (float(value) for value in entry["bbox"])
            boxes[int(frame) - origin] = (x, y, x + width, y + height)
    return boxes
