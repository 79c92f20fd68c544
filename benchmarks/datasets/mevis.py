"""MeViS: expressions about motion, with masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.datasets.files import open_frames, read_json, reading, tags_of, track
from benchmarks.datasets.published import published
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
from grounding_core.masks import MaskTrack, unite
from grounding_core.types import Query
from grounding_core.video import Video

SOURCE = "https://github.com/henghuiding/MeViS"


class MeViS(Dataset):
    """``mevis/<split>/{meta_expressions.json, mask_dict.json, JPEGImages/}``.

    Truth is the union of an expression's objects. ``valid`` has no public masks.
    An expression may carry ``kind`` (of the query) and ``tags``.
    """

    tasks: ClassVar[tuple[str, ...]] = ("refseg",)
    default_split: ClassVar[str] = "valid_u"
    licence: ClassVar[str] = f"CC BY-NC-SA 4.0; {SOURCE}"
    splits: ClassVar[Mapping[str, Published]] = published("mevis")

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._masks = cache(self._read_masks)

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample an expression, ``<video>/<expression>``."""
        path = self.root / "mevis" / split / "meta_expressions.json"
        content = read_json(path, SOURCE)
        found = []
        with reading(path, "the file"):
            for video, entry in content["videos"].items():
                with reading(path, f"video {video}"):
                    found += self._of_video(path.parent, split, video, entry)
        return sorted(found, key=lambda sample: sample.id)

    def parts(self, split: str) -> Sequence[Part]:
        """Expressions, frames and, but for ``valid``, masks."""
        folder = f"mevis/{split}"
        parts = [
            Part(f"{folder}/meta_expressions.json", "expressions", SOURCE),
            Part(f"{folder}/JPEGImages", "frames", SOURCE),
        ]
        masks = Part(f"{folder}/mask_dict.json", "masks", SOURCE)
        return parts if split == "valid" else [*parts, masks]

    def _of_video(self, folder: Path, split: str, video: str, entry: Mapping[str, Any]) -> list[Sample]:
        frames = [str(name) for name in entry["frames"]]
        samples = []
        for key, expression in entry["expressions"].items():
            objects = [str(id) for id in expression.get("anno_id", ())]
            count = str(len(objects)) if len(objects) < 4 else "4+"
            samples.append(
                Sample(
                    id=f"{video}/{key}",
                    video_id=video,
                    query=Query(str(expression["exp"]), expression.get("kind", "refer")),
                    open_video=partial(_open, folder, video, frames),
                    load_truth=partial(self._truth, split, f"{video}/{key}", objects, len(frames)),
                    tags={"objects": count, **tags_of(expression)},
                )
            )
        return samples

    def _truth(self, split: str, id: str, objects: Sequence[str], frames: int) -> Truth:
        path = self._mask_file(split)
        with reading(path, f"expression {id}"):
            if not objects:
                raise ValueError("it names no object")
            masks = self._masks(split)
            tracks: list[MaskTrack] = []
            known = [rle["size"] for key in objects for rle in masks[key] if rle is not None]
            size = (int(known[0][0]), int(known[0][1])) if known else None
            for index, key in enumerate(objects):
                if len(masks[key]) != frames:
                    raise ValueError(f"{len(masks[key])} masks for {frames} frames")
                tracks.append(track(index, masks[key], size))
        return Truth(tracks=(unite(tracks),))

    def _mask_file(self, split: str) -> Path:
        return self.root / "mevis" / split / "mask_dict.json"

    def _read_masks(self, split: str) -> dict[str, list[Any]]:
        path = self._mask_file(split)
        if split == "valid" and not path.is_file():
            raise DataError(
                "MeViS publishes no masks for its split valid.", "Score valid_u, or use its server."
            )
        masks: dict[str, list[Any]] = read_json(path, SOURCE)
        return masks


def _open(folder: Path, video: str, frames: Sequence[str]) -> Video:
    images = folder / "JPEGImages"
    return open_frames(images / f"{video}.mp4", [images / video / f"{name}.jpg" for name in frames])
