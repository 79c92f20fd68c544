"""MeViS GCG: captions of MeViS videos whose phrases point at MeViS's masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.datasets.files import caption_files, open_frames, read_json, reading, track
from benchmarks.datasets.markup import parse
from benchmarks.datasets.mevis import SOURCE as MEVIS_SOURCE
from benchmarks.datasets.published import published
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
from grounding_core.types import Query

SOURCE = "https://github.com/mbzuai-oryx/VideoGLaMM"


class MeViSGCG(Dataset):
    """``mevis_gcg/<split>/<video>.json`` with MeViS's frames and masks below ``mevis/<split>/``.

    A caption's ids are MeViS's obj_ids. VideoGLaMM looks up each group of ids as a whole, and fails where no
    expression names exactly that group; here the masks are those of the single objects, united.
    """

    tasks: ClassVar[tuple[str, ...]] = ("gcg",)
    default_split: ClassVar[str] = "valid_u"
    licence: ClassVar[str] = f"research only; {SOURCE}"
    splits: ClassVar[Mapping[str, Published]] = published("mevis-gcg")

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._masks = cache(lambda split: read_json(self._mevis(split) / "mask_dict.json", MEVIS_SOURCE))

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample a video, named as it is."""
        meta = self._mevis(split) / "meta_expressions.json"
        captions = caption_files(self.root / "mevis_gcg" / split, SOURCE)
        with reading(meta, "the file"):
            videos = read_json(meta, MEVIS_SOURCE)["videos"]
        found = []
        for path in captions:
            with reading(meta, f"video {path.stem}, which {path} describes,"):
                entry = videos[path.stem]
                images = meta.parent / "JPEGImages"
                frames = [images / path.stem / f"{name}.jpg" for name in entry["frames"]]
                found.append(
                    Sample(
                        id=path.stem,
                        video_id=path.stem,
                        query=Query(kind="describe"),
                        open_video=partial(open_frames, images / f"{path.stem}.mp4", frames),
                        load_truth=partial(self._truth, path, split, entry),
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

    def _truth(self, path: Path, split: str, entry: Mapping[str, Any]) -> Truth:
        content = read_json(path, SOURCE)
        masks = self._masks(split)
        with reading(path, "the caption"):
            caption = parse(str(content["caption"]))
            rles = {id: masks[_masks_by_object(entry)[id]] for id in caption.objects}
            sizes = [rle["size"] for found in rles.values() for rle in found if rle is not None]
            for id, found in rles.items():
                if len(found) != len(entry["frames"]):
                    raise ValueError(f"{len(found)} masks of object {id} for {len(entry['frames'])} frames")
            size = (int(sizes[0][0]), int(sizes[0][1])) if sizes else None
            tracks = {id: track(id, found, size) for id, found in rles.items()}
        return Truth(tracks=tuple(tracks.values()), caption=caption.grounded(tracks))


def _masks_by_object(entry: Mapping[str, Any]) -> dict[int, str]:
    """obj_id -> anno_id, from all expressions of a video."""
    return {
        int(object): str(mask)
        for expression in entry["expressions"].values()
        for object, mask in zip(expression["obj_id"], expression["anno_id"], strict=True)
    }
