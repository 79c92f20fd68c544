"""Ref-DAVIS17: four expressions for each object of DAVIS 2017."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from benchmarks.datasets.expressions import Entry, frame_names, open_video, read_videos, samples_of
from benchmarks.datasets.mask_files import VOID, label_tracks, object_track
from benchmarks.datasets.published import published
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
from grounding_core.types import Query

SOURCE = (
    "https://davischallenge.org/davis2017/code.html (videos and masks) and "
    "https://www.mpi-inf.mpg.de/departments/computer-vision-and-machine-learning/research/"
    "video-segmentation/video-object-segmentation-with-language-referring-expressions (expressions), "
    "arranged by ReferFormer's convert_davis_to_ytvos.py (https://github.com/wjn922/ReferFormer)"
)
ANNOTATORS = ("annot1", "annot1_full_video", "annot2", "annot2_full_video")
"""Two people, each from the first frame alone and from the whole video; the order of the expressions."""


class RefDAVIS17(Dataset):
    """``refer_davis/2017/<split>/{JPEGImages,Annotations}``, expressions below ``meta_expressions/``.

    Expressions come in the order object x annotator: the n-th is about object n // 4 + 1, unless it has an
    ``obj_id``, and by annotator n % 4. Masks are palette images in which the index is the object; pixels of
    index 255 (void) are ignored. Tags ``sequence``, ``object`` and ``annotator`` let a whole sequence be
    scored at once, as DAVIS's own evaluation does.
    """

    tasks: ClassVar[tuple[str, ...]] = ("refseg",)
    default_split: ClassVar[str] = "valid"
    licence: ClassVar[str] = f"BSD (DAVIS), none stated for the expressions; {SOURCE}"
    splits: ClassVar[Mapping[str, Published]] = published("ref-davis17")

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample an expression, ``<video>/<expression>``."""
        path = self._home / "meta_expressions" / split / "meta_expressions.json"
        return samples_of(path, read_videos(path, SOURCE), partial(_of_video, self._home / split))

    def parts(self, split: str) -> Sequence[Part]:
        """Expressions, frames and masks."""
        home = "refer_davis/2017"
        return [
            Part(f"{home}/meta_expressions/{split}/meta_expressions.json", "expressions", SOURCE),
            Part(f"{home}/{split}/JPEGImages", "frames", SOURCE),
            Part(f"{home}/{split}/Annotations", "masks", SOURCE),
        ]

    @property
    def _home(self) -> Path:
        return self.root / "refer_davis" / "2017"


def _of_video(folder: Path, video: str, entry: Entry) -> list[Sample]:
    frames = frame_names(entry)
    asked: Counter[int] = Counter()
    samples = []
    for place, (key, expression) in enumerate(entry["expressions"].items()):
        label = int(expression.get("obj_id", place // len(ANNOTATORS) + 1))
        annotator = ANNOTATORS[asked[label] % len(ANNOTATORS)]
        asked[label] += 1
        samples.append(
            Sample(
                id=f"{video}/{key}",
                video_id=video,
                query=Query(str(expression["exp"])),
                open_video=partial(open_video, folder / "JPEGImages", video, frames),
                load_truth=partial(_truth, folder / "Annotations" / video, frames, label),
                tags={"sequence": video, "object": str(label), "annotator": annotator},
                frame_names=frames,
            )
        )
    wrong = [label for label, count in asked.items() if count != len(ANNOTATORS)]
    if wrong:
        raise ValueError(f"object {wrong[0]} has {asked[wrong[0]]} expressions, not {len(ANNOTATORS)}")
    return samples


def _truth(masks: Path, frames: Sequence[str], label: int) -> Truth:
    void = label_tracks(masks, tuple(frames), SOURCE).get(VOID)
    return Truth(tracks=(object_track(masks, frames, label, SOURCE),), ignored=void)
