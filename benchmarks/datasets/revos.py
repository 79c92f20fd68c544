"""ReVOS: referring, reasoning and unanswerable expressions."""

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
from benchmarks.datasets.files import reading, track
from benchmarks.datasets.mask_files import read_mask_dict, union_of
from benchmarks.datasets.published import published
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
from grounding_core.types import Query

SOURCE = "https://github.com/cilinyan/ReVOS-api"
TYPES = {0: "referring", 1: "reasoning", 2: "nonexistent"}


class ReVOS(Dataset):
    """``ReVOS/{JPEGImages/, mask_dict.json, mask_dict_foreground.json, meta_expressions_<split>_.json}``.

    As MeViS, with a ``type_id`` that becomes the tag ``type``; a question (it ends in "?") is asked as one,
    as VISA does. An expression of type ``nonexistent`` may name no object: its truth is a track that is never
    visible. ``Truth.foreground`` holds all objects of the video, for the robustness score. Names of videos
    hold slashes.
    """

    tasks: ClassVar[tuple[str, ...]] = ("refseg",)
    default_split: ClassVar[str] = "valid"
    licence: ClassVar[str] = f"CC BY-NC-SA 4.0; {SOURCE}"
    splits: ClassVar[Mapping[str, Published]] = published("revos")

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample an expression, ``<video>/<expression>``."""
        path = self.root / "ReVOS" / f"meta_expressions_{split}_.json"
        return samples_of(path, read_videos(path, SOURCE), partial(_of_video, path))

    def parts(self, split: str) -> Sequence[Part]:
        """Expressions, and what both splits share: frames, masks, foregrounds."""
        return [
            Part(f"ReVOS/meta_expressions_{split}_.json", "expressions", SOURCE),
            Part("ReVOS/JPEGImages", "frames", SOURCE),
            Part("ReVOS/mask_dict.json", "masks", SOURCE),
            Part("ReVOS/mask_dict_foreground.json", "masks of all objects of a video", SOURCE),
        ]


def _of_video(path: Path, video: str, entry: Entry) -> list[Sample]:
    frames = frame_names(entry)
    samples = []
    for key, expression in entry["expressions"].items():
        objects = [str(id) for id in expression["anno_id"]]
        text = str(expression["exp"])
        samples.append(
            Sample(
                id=f"{video}/{key}",
                video_id=video,
                query=Query(text, "ask" if text.rstrip().endswith("?") else "refer"),
                open_video=partial(open_video, path.parent / "JPEGImages", video, frames),
                load_truth=partial(_truth, path, video, key, objects, len(frames)),
                tags={"type": TYPES[int(expression["type_id"])], **count_tag(objects)},
                frame_names=frames,
            )
        )
    return samples


def _truth(path: Path, video: str, key: str, objects: Sequence[str], frames: int) -> Truth:
    masks = read_mask_dict(path.with_name("mask_dict.json"), SOURCE)
    foregrounds = read_mask_dict(path.with_name("mask_dict_foreground.json"), SOURCE)
    with reading(path, f"expression {video}/{key}"):
        foreground = track(0, foregrounds[video]["masks_rle"])
        if len(foreground) != frames:
            raise ValueError(f"its foreground has {len(foreground)} masks for {frames} frames")
        target = union_of(masks, objects, frames, lambda: foreground.size)
    return Truth(tracks=(target,), foreground=foreground)
