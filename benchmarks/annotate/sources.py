"""Objects of videos: from the installed readers, or from a file in the layout of YouTube-VIS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.annotate.items import Item, Source, Thing, Together
from benchmarks.audit.auditing import named
from benchmarks.datasets.files import open_frames, read_json, reading, track
from benchmarks.datasets.tubes import corners
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Box, Sample
from grounding_core.masks import MaskTrack, unite
from grounding_core.plugins import registry
from grounding_core.video import Video

SAME = 0.95
"""IoU from which the objects of two expressions are one."""
_YTVIS = "the layout of YouTube-VIS: videos, annotations, categories"


def find(source: str, *, task: str | None, data_root: Path | None, frames: Path | None) -> Source:
    """The source a user means.

    Args:
        source: ``name`` or ``name:split`` of a data set for refseg (masks with expressions) or grounding
            (boxes with sentences), or a JSON file in the layout of YouTube-VIS (masks or boxes with classes).
        task: refseg or grounding, for data sets that have both; None takes refseg first.
        data_root: folder above the data sets.
        frames: folder above the file names of a JSON file.

    Raises:
        GroundingError: there is no such source, or it can't be read.
    """
    if source.endswith(".json"):
        if frames is None:
            raise DataError(f"{source} names frames.", "Name the folder they lie below with --frames.")
        return _of_classes(Path(source), frames)
    if data_root is None:
        remedy = "Name the folder above it with --data-root."
        raise DataError(f"The data set {source!r} is read from disk.", remedy)
    name, _, split = source.partition(":")
    asked = {questions.task: questions for questions in named(name, split or None, data_root)}
    makers = {"refseg": _of_expressions, "grounding": _of_sentences}
    chosen = next((one for one in makers if one in asked and task in (None, one)), None)
    if chosen is None:
        problem = (
            f"{name!r} has neither expressions nor sentences" if task is None else f"{name!r} has no {task}"
        )
        raise DataError(f"{problem}.", f"Its tasks: {', '.join(asked)}; annotated are {', '.join(makers)}.")
    groups: dict[str, list[Sample]] = {}
    for sample in asked[chosen].samples:
        groups.setdefault(_group(sample, chosen), []).append(sample)
    items = [partial(makers[chosen], id, group) for id, group in groups.items()]
    licence: str = registry().load("dataset", name).licence
    return Source(f"{name}:{asked[chosen].split}", licence, items, list(groups))


def _group(sample: Sample, task: str) -> str:
    """Questions that share objects: of one video and, as boxes cover their moment alone, of one moment."""
    if task != "grounding":
        return sample.video_id
    start, end = sample.load_truth().interval or (0, 0)
    return f"{sample.video_id}@{start}-{end}"


def _of_expressions(id: str, samples: Sequence[Sample]) -> Item:
    said: dict[tuple[bytes | None, ...], list[Sample]] = {}
    tracks: dict[tuple[bytes | None, ...], MaskTrack] = {}
    for sample in samples:
        for found in sample.load_truth().tracks:
            if found.visible():
                tracks[found.frames] = found
                said.setdefault(found.frames, []).append(sample)
    single, several = _apart(list(tracks.values()))
    things = [
        Thing(place, "", _statements(said[found.frames]), MaskTrack(place, found.size, found.frames))
        for place, found in enumerate(single)
    ]
    together = [
        Together(members, saying) for found, members in several for saying in _statements(said[found.frames])
    ]
    return Item(id, samples[0].open_video, tuple(things), tuple(together))


def _apart(tracks: Sequence[MaskTrack]) -> tuple[list[MaskTrack], list[tuple[MaskTrack, tuple[int, ...]]]]:
    """Tracks of one object, and those that unite several of them with the places of the united."""
    single: list[MaskTrack] = []
    several = []
    for found in sorted(tracks, key=_area):
        inside = [place for place, other in enumerate(single) if _shared(other, found) > SAME * _area(other)]
        united = unite([single[place] for place in inside]) if inside else None
        if united is not None and _shared(united, found) > SAME * _area(found):
            several.append((found, tuple(inside)))
        else:
            single.append(found)
    return single, several


def _area(found: MaskTrack) -> int:
    return sum(map(found.area, found.visible()))


def _shared(one: MaskTrack, other: MaskTrack) -> int:
    """Pixels that two tracks have in common."""
    return _area(one) + _area(other) - _area(unite([one, other]))


def _of_sentences(id: str, samples: Sequence[Sample]) -> Item:
    said: dict[tuple[tuple[int, Box], ...], list[Sample]] = {}
    interval = (0, 0)
    for sample in samples:
        truth = sample.load_truth()
        interval = truth.interval or interval
        start = interval[0]
        boxes = tuple(sorted((frame - start, box) for frame, box in truth.boxes.items()))
        said.setdefault(boxes, []).append(sample)
    things = [
        Thing(place, "", _statements(group), boxes=dict(boxes))
        for place, (boxes, group) in enumerate(said.items())
    ]
    opening = samples[0].open_video
    return Item(id, lambda: opening().clip(*interval), tuple(things))


def _statements(samples: Iterable[Sample]) -> tuple[str, ...]:
    """What is said of an object; questions say nothing of it."""
    said = dict.fromkeys(sample.query.text.strip() for sample in samples if sample.query.kind != "ask")
    return tuple(said)


def _of_classes(path: Path, frames: Path) -> Source:
    content = read_json(path, _YTVIS)
    with reading(path, "the file"):
        classes = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
        objects: dict[int, list[Mapping[str, Any]]] = {}
        for annotation in content["annotations"]:
            objects.setdefault(int(annotation["video_id"]), []).append(annotation)
        items, ids = [], []
        for video in content["videos"]:
            names = [str(name) for name in video["file_names"]]
            ids.append(str(Path(names[0]).parent))
            items.append(partial(_of_video, path, frames, video, objects.get(int(video["id"]), []), classes))
        licence = content.get("info", {}).get("license") or "; ".join(
            str(entry.get("name", entry)) for entry in content.get("licenses", [])
        )
    return Source(path.stem, str(licence) or "not stated", items, ids)


def _of_video(
    path: Path,
    frames: Path,
    video: Mapping[str, Any],
    objects: Sequence[Mapping[str, Any]],
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
        folder = str(Path(names[0]).parent)
    return Item(folder, partial(_open, frames, folder, names), tuple(things))


def _open(frames: Path, folder: str, names: Sequence[str]) -> Video:
    return open_frames(frames / f"{folder}.mp4", [frames / name for name in names])
