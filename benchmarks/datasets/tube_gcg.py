"""VidSTG GCG and HC-STVG GCG: captions of their moments, with masks made from their boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from benchmarks.datasets.files import binary_mask, caption_files, read_json, reading
from benchmarks.datasets.markup import parse
from benchmarks.datasets.published import published
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
from grounding_core.masks import MaskTrack
from grounding_core.types import Query
from grounding_core.video import Video
from grounding_core.video.images import images_in

SOURCE = "https://github.com/mbzuai-oryx/VideoGLaMM"
FIRST_ONLY = "-videoglamm"
"""Ending of a split's name: read as VideoGLaMM does, each phrase with the first of its objects alone."""


class TubeGCG(Dataset):
    """``<folder>/<split>_captions/<video>.json``, ``<folder>/<split>/<video>/{frames,masks/<id:03d>}/``.

    The video is what lies in ``frames/``; a mask has its frame's name. VideoGLaMM
    (``utils/vidstg_hcstvg_gcg.py``) takes the first object of a phrase that names several; here they
    are united, unless the split's name ends in ``-videoglamm``.

    Class attributes:
        name: of the data set.
        folder: below the data root.
    """

    name: ClassVar[str]
    folder: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]] = ("gcg",)
    licence: ClassVar[str] = f"research only; {SOURCE}"

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample a caption, named as its file."""
        base = split.removesuffix(FIRST_ONLY)
        captions = caption_files(self.root / self.folder / f"{base}_captions", SOURCE)
        found = []
        for path in captions:
            folder = self.root / self.folder / base / path.stem
            found.append(
                Sample(
                    id=path.stem,
                    video_id=path.stem,
                    query=Query(kind="describe"),
                    open_video=partial(self._open, folder),
                    load_truth=partial(self._truth, path, folder, first_only=split != base),
                )
            )
        return found

    def parts(self, split: str) -> Sequence[Part]:
        """Captions, and frames with masks."""
        base = split.removesuffix(FIRST_ONLY)
        return [
            Part(f"{self.folder}/{base}_captions", "captions", SOURCE),
            Part(f"{self.folder}/{base}", "frames and masks", self._remedy()),
        ]

    def _remedy(self) -> str:
        return f"`grounding data prepare {self.name}` or {SOURCE}"

    def _open(self, folder: Path) -> Video:
        return Video.open(self._frames(folder))

    def _frames(self, folder: Path) -> list[Path]:
        if not (folder / "frames").is_dir():
            raise DataError(f"{folder / 'frames'} is missing.", f"Get it from {self._remedy()}.")
        return images_in(folder / "frames")

    def _truth(self, path: Path, folder: Path, *, first_only: bool) -> Truth:
        content = read_json(path, SOURCE)
        with reading(path, "the caption"):
            caption = parse(str(content["caption"]))
        caption = caption.first_only() if first_only else caption
        names = [frame.stem for frame in self._frames(folder)]
        tracks = {}
        for id in caption.objects:
            masks = folder / "masks" / f"{id:03d}"
            read = (binary_mask(masks / f"{name}.png", self._remedy()) for name in names)
            tracks[id] = MaskTrack.from_masks(id, read)
        return Truth(tracks=tuple(tracks.values()), caption=caption.grounded(tracks))


class VidSTGGCG(TubeGCG):
    """20 frames of the moment of a VidSTG relation; object ids are VidOR's."""

    name: ClassVar[str] = "vidstg-gcg"
    folder: ClassVar[str] = "vidstg_gcg"
    default_split: ClassVar[str] = "val"
    splits: ClassVar[Mapping[str, Published]] = published("vidstg-gcg")


class HCSTVGGCG(TubeGCG):
    """Up to 40 frames, 5 a second, of an HC-STVG moment; the one person is object 0."""

    name: ClassVar[str] = "hcstvg-gcg"
    folder: ClassVar[str] = "hcstvg_gcg"
    default_split: ClassVar[str] = "train"
    splits: ClassVar[Mapping[str, Published]] = published("hcstvg-gcg")
