"""VidSTG GCG and HC-STVG GCG: captions of their moments, with masks made from their boxes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmarks.datasets import hcstvg
from benchmarks.datasets.box_masks import Job, make
from benchmarks.datasets.files import caption_files, read_json, reading
from benchmarks.datasets.markup import parse
from benchmarks.datasets.mask_files import read_labels
from benchmarks.datasets.prepare_tubes import (
    HCSTVG_SOURCE,
    VIDOR_PART,
    VIDOR_SOURCE,
    VIDSTG_SOURCE,
    vidor_tubes,
)
from benchmarks.datasets.published import published
from benchmarks.datasets.tubes import Protocol, corners, sampled
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Dataset, Part, Progress, Published, Sample, Truth
from grounding_core.masks import MaskTrack
from grounding_core.types import Query
from grounding_core.video import Video
from grounding_core.video.images import images_in

SOURCE = "https://github.com/mbzuai-oryx/VideoGLaMM"
VIDSTG_FRAMES = 20
"""Frames of a video (dev_vidstg_gcg_mask_gen.py)."""
HCSTVG_FRAMES = Protocol(5, 40, "moment", True, "VideoGLaMM 6b15b1e dev_hcstvg_2_mask_gen.py")
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
    licence: ClassVar[str] = f"none stated, so research only; {SOURCE}"

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

    @abstractmethod
    def jobs(self, split: str, captions: Mapping[str, Path]) -> Mapping[str, Callable[[], Job]]:
        """Video -> frames and boxes of what its caption names, read when it is called."""

    def prepare(self, split: str, *, decoder: str | None = None, progress: Progress | None = None) -> None:
        """Make frames and masks of every caption's video; see `benchmarks.datasets.box_masks.make`."""
        base = split.removesuffix(FIRST_ONLY)
        captions = caption_files(self.root / self.folder / f"{base}_captions", SOURCE)
        jobs = self.jobs(base, {path.stem: path for path in captions})
        make(self.root / self.folder / base, jobs, decoder, progress)

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
            read = (read_labels(masks / f"{name}.png", self._remedy()) > 127 for name in names)
            tracks[id] = MaskTrack.from_masks(id, read)
        return Truth(tracks=tuple(tracks.values()), caption=caption.grounded(tracks))


class VidSTGGCG(TubeGCG):
    """20 frames of the moment of a VidSTG relation; object ids are VidOR's."""

    name: ClassVar[str] = "vidstg-gcg"
    folder: ClassVar[str] = "vidstg_gcg"
    default_split: ClassVar[str] = "val"
    splits: ClassVar[Mapping[str, Published]] = published("vidstg-gcg")

    def jobs(self, split: str, captions: Mapping[str, Path]) -> Mapping[str, Callable[[], Job]]:
        """Frames of each video's moment, evenly spread, with the boxes of the objects its caption names.

        VideoGLaMM's script hands x, y, width, height to SAM 2 as if they were corners; here they are corners.
        """
        raw = self.root / "vidstg/vidstg_annotations" / f"{split}_annotations.json"
        # A video has several relations; the script keeps the last.
        entries = {str(entry["vid"]): entry for entry in read_json(raw, VIDSTG_SOURCE)}
        vidor = self.root / "vidstg/vidor_annotations" / VIDOR_PART[split]
        files = {path.stem: path for path in vidor.glob("*/*.json")}

        def job(video: str, caption: Path) -> Job:
            with reading(raw, f"video {video}"):
                moment = entries[video]["temporal_gt"]
                start, end = int(moment["begin_fid"]), int(moment["end_fid"])
            if video not in files:
                raise DataError(f"{vidor} lacks the video {video}.", f"Get it from {VIDOR_SOURCE}.")
            found = vidor_tubes(files[video], {str(id) for id in _objects(caption)})
            frames = sorted({start + int(step) for step in np.linspace(0, end - start, VIDSTG_FRAMES)})
            boxes = {
                int(id): {
                    place: corners(tube[str(frame)]["bbox"])
                    for place, frame in enumerate(frames)
                    if str(frame) in tube
                }
                for id, tube in found["trajectories"].items()
            }
            path = self.root / "vidstg/video" / found["video_path"]
            return Job(path, frames, [f"{frame:06d}" for frame in frames], boxes)

        return {video: partial(job, video, caption) for video, caption in captions.items()}


class HCSTVGGCG(TubeGCG):
    """Up to 40 frames, 5 a second, of an HC-STVG moment; the one person is object 0."""

    name: ClassVar[str] = "hcstvg-gcg"
    folder: ClassVar[str] = "hcstvg_gcg"
    default_split: ClassVar[str] = "train"
    splits: ClassVar[Mapping[str, Published]] = published("hcstvg-gcg")

    def jobs(self, split: str, captions: Mapping[str, Path]) -> Mapping[str, Callable[[], Job]]:
        """Frames of each clip's moment; a caption's name is the clip's number in the annotations."""
        processed = hcstvg.annotation_file(self.root, split)
        entries = {int(entry["video_id"]): entry for entry in read_json(processed, HCSTVG_SOURCE)}

        def job(video: str, caption: Path) -> Job:
            with reading(processed, f"video {video}"):
                if set(_objects(caption)) - {0}:
                    raise ValueError(f"has one person, object 0, but {caption} names others")
                entry = entries[int(video)]
                start, end = int(entry["tube_start_frame"]) - 1, int(entry["tube_end_frame"]) - 1
                fps = int(entry["frame_count"]) / hcstvg.SECONDS
                frames = sampled(start, end, fps, HCSTVG_FRAMES)
                boxes = {i: corners(entry["trajectory"][frame - start]) for i, frame in enumerate(frames)}
                path = hcstvg.video_file(self.root, entry["video_path"])
            return Job(path, frames, [f"{i:06d}" for i in range(len(frames))], {0: boxes})

        return {video: partial(job, video, caption) for video, caption in captions.items()}


def _objects(caption: Path) -> Sequence[int]:
    """Ids of the objects that a caption names."""
    with reading(caption, "the caption"):
        return parse(str(read_json(caption, SOURCE)["caption"])).objects
