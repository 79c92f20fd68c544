"""MeViS: expressions about motion, with masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from benchmarks.datasets.expressions import (
    Entry,
    count_tag,
    frame_names,
    open_video,
    read_videos,
    samples_of,
)
from benchmarks.datasets.files import reading, tags_of
from benchmarks.datasets.mask_files import hidden, read_mask_dict, union_of
from benchmarks.datasets.published import published
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
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

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample an expression, ``<video>/<expression>``."""
        path = self.root / "mevis" / split / "meta_expressions.json"
        return samples_of(path, read_videos(path, SOURCE), partial(_of_video, path.parent, split))

    def parts(self, split: str) -> Sequence[Part]:
        """Expressions, frames and, but for ``valid``, masks."""
        folder = f"mevis/{split}"
        parts = [
            Part(f"{folder}/meta_expressions.json", "expressions", SOURCE),
            Part(f"{folder}/JPEGImages", "frames", SOURCE),
        ]
        masks = Part(f"{folder}/mask_dict.json", "masks", SOURCE)
        return parts if split == "valid" else [*parts, masks]


def _of_video(folder: Path, split: str, video: str, entry: Entry) -> list[Sample]:
    frames = frame_names(entry)
    opening = partial(open_video, folder / "JPEGImages", video, frames)
    samples = []
    for key, expression in entry["expressions"].items():
        objects = [str(id) for id in expression.get("anno_id", ())]
        id = f"{video}/{key}"
        samples.append(
            Sample(
                id=id,
                video_id=video,
                query=Query(str(expression["exp"]), expression.get("kind", "refer")),
                open_video=opening,
                load_truth=partial(
                    _truth, folder / "mask_dict.json", split, id, objects, len(frames), opening
                ),
                tags={**count_tag(objects), **tags_of(expression)},
                frame_names=frames,
            )
        )
    return samples


def _truth(
    path: Path, split: str, id: str, objects: Sequence[str], frames: int, opening: partial[Video]
) -> Truth:
    if split == "valid" and not path.is_file():
        raise hidden("MeViS", split, "hand predictions in to its server", ["valid_u"])
    with reading(path, f"expression {id}"):
        if not objects:
            raise ValueError("it names no object")
        masks = read_mask_dict(path, SOURCE)
        # Only a track that is never visible has to ask the video for its size.
        return Truth(tracks=(union_of(masks, objects, frames, lambda: opening().size),))
