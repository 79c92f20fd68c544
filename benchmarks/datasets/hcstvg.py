"""HC-STVG 2.0: sentences about one person in crowded 20-second clips, with moment and boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.datasets import prepare_tubes
from benchmarks.datasets.files import first_of, read_json, reading, tags_of
from benchmarks.datasets.published import published
from benchmarks.datasets.tubes import Protocol, View, corners, protocol_of, with_protocols
from grounding_core.interfaces.dataset import Dataset, Part, Progress, Published, Sample, Truth
from grounding_core.types import Query
from grounding_core.video import Video

SOURCE = "https://github.com/tzhhhh123/HC-STVG"
FOLDERS = ("hcstvg/anno_v2", "hcstvg", "processed/hcstvg/hcstvg_annotations")
"""Where VideoGLaMM's scripts write and read the processed annotations; ours go to the first."""
VIDEOS = ("hcstvg/Video", "hcstvg/video")
SECONDS = 20.0
"""Every clip lasts this long, so the frame rate is frame_count / 20 (TubeDETR, datasets/hcstvg.py)."""


class HCSTVG(Dataset):
    """``hcstvg/anno_v2/<split>_v2_proc.json`` in TubeDETR's processed form, and ``hcstvg/Video/``.

    The annotations count frames from 1 and exclude the last; frames of the truth count from 0. TubeDETR and
    VideoGLaMM take the numbers as if they counted from 0, so their boxes lie one frame late.
    """

    tasks: ClassVar[tuple[str, ...]] = ("grounding",)
    default_split: ClassVar[str] = "val"
    splits: ClassVar[Mapping[str, Published]] = with_protocols(published("hcstvg"))
    licence: ClassVar[str] = f"none stated, so research only; {SOURCE}"

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample a clip, ``<original video>/<number>``."""
        name, protocol = protocol_of(split)
        path = annotation_file(self.root, name)
        found = []
        with reading(path, "the file"):
            for entry in read_json(path, SOURCE):
                with reading(path, f"sentence {entry.get('video_id')}"):
                    found.append(self._sample(path, entry, protocol))
        return sorted(found, key=lambda sample: sample.id)

    def parts(self, split: str) -> Sequence[Part]:
        """Sentences with boxes, and videos."""
        path = annotation_file(self.root, protocol_of(split)[0])
        made = f"`grounding data prepare hcstvg`, from the annotations of {SOURCE}"
        return [
            Part(str(path.relative_to(self.root)), "sentences and boxes", made),
            Part(VIDEOS[0], "videos", SOURCE),
        ]

    def prepare(self, split: str, *, decoder: str | None = None, progress: Progress | None = None) -> None:
        """Make the processed annotations of the published ones; see `.prepare_tubes`."""
        base = protocol_of(split)[0]
        videos = first_of(self.root, VIDEOS)
        prepare_tubes.hcstvg(self.root, videos, base, annotation_file(self.root, base), progress)

    def _sample(self, path: Path, entry: Mapping[str, Any], protocol: Protocol | None) -> Sample:
        video = str(entry["original_video_id"])
        frames = int(entry["frame_count"])
        start, end = int(entry["tube_start_frame"]) - 1, int(entry["tube_end_frame"]) - 1
        view = View.of((0, frames), (start, end), frames / SECONDS, protocol)
        id = f"{video}/{entry['video_id']}"
        questions = protocol.hcstvg_questions if protocol else None
        query = (
            Query(str(entry["caption"]), "locate")
            if questions is None
            else _question(self.root / questions / f"{entry['video_id']}.json")
        )
        return Sample(
            id=id,
            video_id=f"{video}{view.label}",
            recording=video,
            query=query,
            open_video=partial(_open, self.root, str(entry["video_path"]), view),
            load_truth=partial(_truth, path, id, entry, view, (start, end)),
            tags={"qtype": "interrogative" if query.kind == "ask" else "declarative", **tags_of(entry)},
        )


def _question(path: Path) -> Query:
    content = read_json(path, "the authors of VideoGLaMM, or score a split with HC-STVG's sentences")
    with reading(path, "the file"):
        return Query(str(content["Q"]), "ask")


def annotation_file(root: Path, split: str) -> Path:
    """The processed annotations of a split."""
    return first_of(root, [f"{folder}/{split}_v2_proc.json" for folder in FOLDERS])


def video_file(root: Path, name: str) -> Path:
    """The file of a clip, given its path below the video folder."""
    return first_of(root, [f"{folder}/{name}" for folder in VIDEOS])


def _open(root: Path, name: str, view: View) -> Video:
    return view.open(video_file(root, name), SOURCE)


def _truth(path: Path, id: str, entry: Mapping[str, Any], view: View, moment: tuple[int, int]) -> Truth:
    with reading(path, f"sentence {id}"):
        boxes = entry["trajectory"]
        if len(boxes) != moment[1] - moment[0]:
            raise ValueError(f"{len(boxes)} boxes for the {moment[1] - moment[0]} frames of its moment")
        return view.truth({moment[0] + i: corners(box) for i, box in enumerate(boxes)}, moment, ())
