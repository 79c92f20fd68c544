"""MeViS GCG: captions of MeViS videos whose phrases point at MeViS's masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from benchmarks.datasets.expressions import Entry, frame_names, open_video, read_videos
from benchmarks.datasets.files import caption_files, read_json, reading
from benchmarks.datasets.markup import parse
from benchmarks.datasets.mask_files import read_mask_dict, union_of
from benchmarks.datasets.mevis import SOURCE as MEVIS_SOURCE
from benchmarks.datasets.published import published
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
from grounding_core.types import Query
from grounding_core.video import Video

SOURCE = "https://github.com/mbzuai-oryx/VideoGLaMM"


class MeViSGCG(Dataset):
    """``mevis_gcg/<split>/<video>.json`` with MeViS's frames and masks below ``mevis/<split>/``.

    A caption's ids are MeViS's obj_ids. VideoGLaMM looks up each group of ids as a whole, and fails where no
    expression names exactly that group; here the masks are those of the single objects, united.
    """

    tasks: ClassVar[tuple[str, ...]] = ("gcg",)
    default_split: ClassVar[str] = "valid_u"
    licence: ClassVar[str] = f"none stated, so research only; {SOURCE}"
    splits: ClassVar[Mapping[str, Published]] = published("mevis-gcg")

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample a video, named as it is."""
        captions = caption_files(self.root / "mevis_gcg" / split, SOURCE)
        meta = self._mevis(split) / "meta_expressions.json"
        videos = read_videos(meta, MEVIS_SOURCE)
        found = []
        for path in captions:
            with reading(meta, f"video {path.stem}, which {path} describes,"):
                entry = videos[path.stem]
                opened = partial(open_video, meta.parent / "JPEGImages", path.stem, frame_names(entry))
                found.append(
                    Sample(
                        id=path.stem,
                        video_id=path.stem,
                        query=Query(kind="describe"),
                        open_video=opened,
                        load_truth=partial(self._truth, path, split, entry, opened),
                    )
                )
        return found

    def parts(self, split: str) -> Sequence[Part]:
        """Captions, and MeViS itself."""
        return [
            Part(f"mevis_gcg/{split}", "captions", SOURCE),
            Part(f"mevis/{split}/meta_expressions.json", "object ids", MEVIS_SOURCE),
            Part(f"mevis/{split}/JPEGImages", "frames", MEVIS_SOURCE),
            Part(f"mevis/{split}/mask_dict.json", "masks", MEVIS_SOURCE),
        ]

    def _mevis(self, split: str) -> Path:
        return self.root / "mevis" / split

    def _truth(self, path: Path, split: str, entry: Entry, opened: Callable[[], Video]) -> Truth:
        content = read_json(path, SOURCE)
        masks = read_mask_dict(self._mevis(split) / "mask_dict.json", MEVIS_SOURCE)
        frames = len(entry["frames"])
        with reading(path, "the caption"):
            caption = parse(str(content["caption"]))
            named = _masks_by_object(entry)
            tracks = {
                id: replace(union_of(masks, [named[id]], frames, lambda: opened().size), id=id)
                for id in caption.objects
            }
        return Truth(tracks=tuple(tracks.values()), caption=caption.grounded(tracks))


def _masks_by_object(entry: Entry) -> dict[int, str]:
    """obj_id -> anno_id, from all expressions of a video."""
    return {
        int(object): str(mask)
        for expression in entry["expressions"].values()
        for object, mask in zip(expression["obj_id"], expression["anno_id"], strict=True)
    }
