"""Objects with class names: files in the layouts of YouTube-VIS and BURST, and of ActivityNet-Entities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.annotate.items import Item, Source, Thing
from benchmarks.annotate.steps import Notes, Step, Where
from benchmarks.datasets.files import open_frames, read_json, reading, track
from benchmarks.datasets.tubes import corners
from grounding_core.errors import DataError
from grounding_core.masks import MaskTrack
from grounding_core.video import Video

_LAYOUTS = "the layout of YouTube-VIS (videos, annotations, categories) or BURST (sequences, categories)"
Content = Mapping[str, Any]


class Classes(Step):
    """Masks or boxes with class names: a file in the layout of YouTube-VIS or BURST."""

    def find(self, source: str, where: Where) -> Source:
        """See `benchmarks.annotate.steps.ObjectSource`."""
        path = Path(source)
        if where.frames is None:
            raise DataError(f"{source} names frames.", "Name the folder they lie below with --frames.")
        content = read_json(path, _LAYOUTS)
        with reading(path, "the file"):
            classes = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
            read = _burst if "sequences" in content else _ytvis
            items = dict(read(path, where.frames, content, classes))
            licence = content.get("info", {}).get("license") or "; ".join(
                str(entry.get("name", entry)) for entry in content.get("licenses", [])
            )
        loaders = [partial(_loaded, load) for load in items.values()]
        return Source(path.stem, str(licence) or "not stated", loaders, list(items))


def _loaded(load: Callable[[], Item], notes: Notes) -> Item:
    return load()


def _ytvis(
    path: Path, frames: Path, content: Content, classes: Mapping[int, str]
) -> list[tuple[str, Callable[[], Item]]]:
    objects: dict[int, list[Content]] = {}
    for annotation in content["annotations"]:
        objects.setdefault(int(annotation["video_id"]), []).append(annotation)
    found: list[tuple[str, Callable[[], Item]]] = []
    for video in content["videos"]:
        folder = str(Path(str(video["file_names"][0])).parent)
        own = objects.get(int(video["id"]), [])
        found.append((folder, partial(_ytvis_item, path, frames, folder, video, own, classes)))
    return found


def _ytvis_item(
    path: Path,
    frames: Path,
    folder: str,
    video: Content,
    objects: Sequence[Content],
    classes: Mapping[int, str],
) -> Item:
    with reading(path, f"video {video['id']}"):
        names = [str(name) for name in video["file_names"]]
        size = int(video["height"]), int(video["width"])
        things = []
        for place, found in enumerate(objects):
            name = classes[int(found["category_id"])]
            masks = found.get("segmentations")
            if masks is not None:
                things.append(Thing(place, name, track=track(place, masks, size)))
            else:
                boxes = {i: corners(box) for i, box in enumerate(found["bboxes"]) if box is not None}
                things.append(Thing(place, name, boxes=boxes))
    return Item(folder, partial(_open, frames, folder, names), tuple(things))


def _burst(
    path: Path, frames: Path, content: Content, classes: Mapping[int, str]
) -> list[tuple[str, Callable[[], Item]]]:
    """As https://github.com/Ali2500/BURST-benchmark documents it: RLE strings by track id, frame by frame."""
    found: list[tuple[str, Callable[[], Item]]] = []
    for sequence in content["sequences"]:
        folder = f"{sequence['dataset']}/{sequence['seq_name']}"
        found.append((folder, partial(_burst_item, path, frames, folder, sequence, classes)))
    return found


def _burst_item(path: Path, frames: Path, folder: str, sequence: Content, classes: Mapping[int, str]) -> Item:
    with reading(path, f"sequence {folder}"):
        names = [f"{folder}/{name}" for name in sequence["annotated_image_paths"]]
        size = int(sequence["height"]), int(sequence["width"])
        shown = sequence["segmentations"]
        if len(shown) != len(names):
            raise ValueError(f"it has {len(names)} annotated images and masks of {len(shown)}")
        things = []
        for place, (id, category) in enumerate(sorted(sequence["track_category_ids"].items())):
            codes = [frame[id]["rle"].encode("ascii") if id in frame else None for frame in shown]
            things.append(Thing(place, classes[int(category)], track=MaskTrack(place, size, tuple(codes))))
    return Item(folder, partial(_open, frames, folder, names), tuple(things))


def _open(frames: Path, folder: str, names: Sequence[str]) -> Video:
    return open_frames(frames / f"{folder}.mp4", [frames / name for name in names])
