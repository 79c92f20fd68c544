"""Ref-YouTube-VOS: expressions for the objects of YouTube-VOS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.datasets.expressions import Entry, frame_names, open_video, read_videos, samples_of
from benchmarks.datasets.files import reading
from benchmarks.datasets.mask_files import hidden, object_track
from benchmarks.datasets.published import published
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
from grounding_core.types import Query

SOURCE = "https://codalab.lisn.upsaclay.fr/competitions/3282 (see https://youtube-vos.org/dataset/rvos)"
SERVER = "https://codalab.lisn.upsaclay.fr/competitions/3282"


class RefYouTubeVOS(Dataset):
    """``refer_youtube_vos/<split>/{JPEGImages,Annotations}``, expressions below ``meta_expressions/``.

    The published ``valid`` expressions hold the test videos too: those that the test file names are taken
    out, which leaves 202. Only ``train`` has public masks: palette images in which an expression's ``obj_id``
    is the index of its object.
    """

    tasks: ClassVar[tuple[str, ...]] = ("refseg",)
    default_split: ClassVar[str] = "valid"
    licence: ClassVar[str] = f"CC BY 4.0 (annotations), research only (videos); {SOURCE}"
    splits: ClassVar[Mapping[str, Published]] = published("ref-youtube-vos")

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample an expression, ``<video>/<expression>``."""
        path = self._expressions(split)
        videos = read_videos(path, SOURCE)
        if split == "valid":
            test = read_videos(self._expressions("test"), SOURCE)
            videos = {video: entry for video, entry in videos.items() if video not in test}
        return samples_of(path, videos, partial(_of_video, path, split))

    def parts(self, split: str) -> Sequence[Part]:
        """Expressions (for ``valid`` those of ``test`` too), frames and, for ``train``, masks."""
        needed = [split, "test"] if split == "valid" else [split]
        parts = [
            Part(str(self._expressions(name).relative_to(self.root)), "expressions", SOURCE)
            for name in needed
        ]
        parts.append(Part(f"refer_youtube_vos/{split}/JPEGImages", "frames", SOURCE))
        if split == "train":
            parts.append(Part("refer_youtube_vos/train/Annotations", "masks", SOURCE))
        return parts

    def _expressions(self, split: str) -> Path:
        return self.root / "refer_youtube_vos" / "meta_expressions" / split / "meta_expressions.json"


def _of_video(path: Path, split: str, video: str, entry: Entry) -> list[Sample]:
    frames = frame_names(entry)
    folder = path.parents[2] / split
    return [
        Sample(
            id=f"{video}/{key}",
            video_id=video,
            query=Query(str(expression["exp"])),
            open_video=partial(open_video, folder / "JPEGImages", video, frames),
            load_truth=partial(_truth, path, split, folder / "Annotations" / video, key, frames, expression),
            frame_names=frames,
        )
        for key, expression in entry["expressions"].items()
    ]


def _truth(
    path: Path, split: str, masks: Path, key: str, frames: Sequence[str], expression: Mapping[str, Any]
) -> Truth:
    if split != "train":
        raise hidden("Ref-YouTube-VOS", split, f"hand predictions in at {SERVER}", ["train"])
    entry = f"expression {masks.name}/{key}"
    with reading(path, entry):
        label = int(expression["obj_id"])
    track = object_track(masks, frames, label, SOURCE)
    if not track.visible():
        raise DataError(
            f"{path}: {entry} names object {label}, which {masks} never shows.", "Compare the two."
        )
    return Truth(tracks=(track,))
