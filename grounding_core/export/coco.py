"""COCO's and YouTube-VIS's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grounding_core.export.record import Json, Record, frame_files, label
from grounding_core.masks import MaskTrack


def _categories(records: Sequence[Record]) -> dict[str, int]:
    names = {label(record.answer, track) for record in records for track in record.answer.tracks}
    return {name: number for number, name in enumerate(sorted(names), 1)}


def _listed(categories: Mapping[str, int]) -> list[Json]:
    return [{"id": number, "name": name} for name, number in categories.items()]


def _code(track: MaskTrack, index: int) -> Json | None:
    counts = track.frames[index]
    return None if counts is None else {"size": list(track.size), "counts": counts.decode("ascii")}


def _boxes(track: MaskTrack) -> dict[int, list[float]]:
    """[x, y, width, height] of the frames in which the object is visible."""
    return {index: [x0, y0, x1 - x0, y1 - y0] for index, (x0, y0, x1, y1) in track.boxes().items()}


def to_coco(records: Sequence[Record]) -> Json:
    """COCO's instance JSON: an image a frame, ``<video>/00000.jpg``; ``track_id`` joins an object's masks."""
    categories = _categories(records)
    images: list[Json] = []
    annotations: list[Json] = []
    for number, (record, names) in enumerate(zip(records, frame_files(records), strict=True), 1):
        height, width = record.size
        first = len(images) + 1
        images += [
            {"id": first + i, "file_name": name, "height": height, "width": width}
            | {"video_id": number, "frame_id": i}
            for i, name in enumerate(names)
        ]
        for track in record.answer.tracks:
            areas = track.areas()
            for index, box in _boxes(track).items():
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": first + index,
                        "category_id": categories[label(record.answer, track)],
                        "segmentation": _code(track, index),
                        "area": areas[index],
                        "bbox": box,
                        "iscrowd": 0,
                        "track_id": track.id,
                    }
                )
    return {"images": images, "annotations": annotations, "categories": _listed(categories)}


def to_youtube_vis(records: Sequence[Record]) -> Json:
    """YouTube-VIS's JSON: a video an entry, an annotation a track; null where it is not visible."""
    categories = _categories(records)
    videos: list[Json] = []
    annotations: list[Json] = []
    for number, (record, names) in enumerate(zip(records, frame_files(records), strict=True), 1):
        height, width = record.size
        videos.append(
            {
                "id": number,
                "file_names": names,
                "height": height,
                "width": width,
                "length": record.length,
                "caption": record.answer.text,
            }
        )
        for track in record.answer.tracks:
            boxes, areas = _boxes(track), track.areas()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "video_id": number,
                    "category_id": categories[label(record.answer, track)],
                    "segmentations": [_code(track, index) for index in range(len(track))],
                    "bboxes": [boxes.get(index) for index in range(len(track))],
                    "areas": [areas.get(index) for index in range(len(track))],
                    "iscrowd": 0,
                }
            )
    return {"videos": videos, "annotations": annotations, "categories": _listed(categories)}
