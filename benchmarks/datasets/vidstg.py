"""VidSTG: statements and questions about one object, with its moment and its boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.datasets import prepare_tubes
from benchmarks.datasets.files import first_of, read_json, reading, tags_of
from benchmarks.datasets.published import published
from benchmarks.datasets.tubes import Moment, Protocol, View, corners, protocol_of, with_protocols
from grounding_core.interfaces.dataset import Box, Dataset, Part, Progress, Published, Sample, Truth
from grounding_core.types import Query, QueryKind

SOURCE = "https://github.com/Guaranteer/VidSTG-Dataset, processed as in https://github.com/antoyang/TubeDETR"
FOLDERS = ("vidstg", "vidstg/vidstg_annotations", "processed/vidstg/vidstg_annotations")
"""Where TubeDETR and VideoGLaMM write the processed annotations; ours go to the first."""
KINDS: dict[str, QueryKind] = {"declarative": "locate", "interrogative": "ask"}


class VidSTG(Dataset):
    """``vidstg/<split>.json`` in TubeDETR's processed form, and ``vidstg/video/``.

    The video is the part [start_frame, end_frame) of its file; frames of the truth count from there.
    """

    tasks: ClassVar[tuple[str, ...]] = ("grounding",)
    default_split: ClassVar[str] = "test"
    splits: ClassVar[Mapping[str, Published]] = with_protocols(published("vidstg"))
    licence: ClassVar[str] = f"none stated, so research only; {SOURCE}"

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample a sentence, ``<original video>/<number>``."""
        name, protocol = protocol_of(split)
        path = annotation_file(self.root, name)
        content = read_json(path, SOURCE)
        found = []
        with reading(path, "the file"):
            for entry in content["videos"]:
                with reading(path, f"sentence {entry.get('video_id')}"):
                    tubes = content["trajectories"][str(entry["original_video_id"])]
                    found.append(self._sample(path, entry, tubes, protocol))
        return sorted(found, key=lambda sample: sample.id)

    def parts(self, split: str) -> Sequence[Part]:
        """Sentences with boxes, and videos."""
        path = annotation_file(self.root, protocol_of(split)[0])
        made = f"`grounding data prepare vidstg`, from the annotations of {SOURCE}"
        return [
            Part(str(path.relative_to(self.root)), "sentences and boxes", made),
            Part("vidstg/video", "videos", "https://xdshang.github.io/docs/vidor.html"),
        ]

    def prepare(self, split: str, *, decoder: str | None = None, progress: Progress | None = None) -> None:
        """Make the processed annotations of VidSTG's and VidOR's; see `.prepare_tubes`."""
        base = protocol_of(split)[0]
        prepare_tubes.vidstg(self.root, base, annotation_file(self.root, base), progress)

    def _sample(
        self, path: Path, entry: Mapping[str, Any], tubes: Mapping[str, Any], protocol: Protocol | None
    ) -> Sample:
        video = str(entry["original_video_id"])
        clip = int(entry["start_frame"]), int(entry["end_frame"])
        moment = int(entry["tube_start_frame"]), int(entry["tube_end_frame"])
        view = View.of(clip, moment, float(entry["fps"]), protocol)
        qtype = str(entry["qtype"])
        target = str(entry["target_id"])
        others = [tube for name, tube in tubes.items() if name != target]
        id = f"{video}/{entry['video_id']}"
        return Sample(
            id=id,
            video_id=f"{video}{view.label}",
            recording=video,
            query=Query(str(entry["caption"]), KINDS[qtype]),
            open_video=partial(view.open, self.root / "vidstg/video" / str(entry["video_path"]), SOURCE),
            load_truth=partial(_truth, path, id, view, (tubes[target], *others), moment),
            tags={"qtype": qtype, **tags_of(entry)},
        )


def annotation_file(root: Path, split: str) -> Path:
    """The processed annotations of a split."""
    return first_of(root, [f"{folder}/{split}.json" for folder in FOLDERS])


def _truth(path: Path, id: str, view: View, tubes: Sequence[Mapping[str, Any]], moment: Moment) -> Truth:
    with reading(path, f"sentence {id}"):
        target, *others = (_boxes(tube) for tube in tubes)
        return view.truth(target, moment, others)


def _boxes(tube: Mapping[str, Any]) -> dict[int, Box]:
    return {int(frame): corners(entry["bbox"]) for frame, entry in tube.items()}
