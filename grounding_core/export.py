"""Answers for other programs: COCO and YouTube-VIS JSON, Label Studio tasks, supervision's detections."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grounding_core.errors import GroundingError
from grounding_core.label_studio import rectangles
from grounding_core.masks import MaskTrack
from grounding_core.serial import from_json
from grounding_core.types import GroundedText

Json = dict[str, Any]

UNNAMED = "object"
"""Category of a track that no phrase names."""


@dataclass(frozen=True)
class Record:
    """An answer and what it is about.

    Attributes:
        name: of the video, for file names.
        source: where the video is, as the other program shall find it.
        size: (H, W) of the video.
        length: number of its frames.
        fps: frames a second.
        answer: text, spans and tracks.
    """

    name: str
    source: str
    size: tuple[int, int]
    length: int
    fps: float
    answer: GroundedText

    @classmethod
    def read(cls, path: str | Path) -> Record:
        """From an ``answer.json`` that ``grounding ground`` wrote, or the folder that holds it.

        Raises:
            GroundingError: it is not there, or holds something else.
        """
        file = Path(path)
        file = file / "answer.json" if file.is_dir() else file
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            video = data["video"]
            height, width = video["size"]
            return cls(
                name=Path(video["source"]).stem or "video",
                source=str(video["source"]),
                size=(int(height), int(width)),
                length=int(video["frames"]),
                fps=float(video["fps"]),
                answer=from_json(data),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GroundingError(
                f"{file} is no saved answer: {type(error).__name__}: {error}.",
                "Name an answer.json of `grounding ground`, or its folder.",
            ) from error


def label(answer: GroundedText, track: MaskTrack) -> str:
    """The first phrase that names a track, in lower case."""
    phrases = [answer.phrase(span) for span in answer.spans if track.id in span.tracks]
    named = next((phrase.strip().lower() for phrase in phrases if phrase.strip()), "")
    return named or UNNAMED


def _categories(records: Sequence[Record]) -> dict[str, int]:
    names = {label(record.answer, track) for record in records for track in record.answer.tracks}
    return {name: number for number, name in enumerate(sorted(names), 1)}


def _listed(categories: Mapping[str, int]) -> list[Json]:
    return [{"id": number, "name": name} for name, number in categories.items()]


def _files(record: Record) -> list[str]:
    return [f"{record.name}/{index:05d}.jpg" for index in range(record.length)]


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
    for number, record in enumerate(records, 1):
        height, width = record.size
        first = len(images) + 1
        images += [
            {"id": first + i, "file_name": name, "height": height, "width": width}
            | {"video_id": number, "frame_id": i}
            for i, name in enumerate(_files(record))
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
    for number, record in enumerate(records, 1):
        height, width = record.size
        videos.append(
            {
                "id": number,
                "file_names": _files(record),
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


def to_label_studio(records: Sequence[Record]) -> list[Json]:
    """Label Studio's tasks with predictions: boxes of the tracks, for a ``VideoRectangle`` named ``box``.

    Label Studio knows no masks in videos. Its labels are those of the answer's phrases.
    """
    return [
        {
            "data": {"video": record.source, "text": record.answer.text},
            "predictions": [
                {
                    "model_version": "grounding_core",
                    "result": [
                        rectangles(track, fps=record.fps, label=label(record.answer, track))
                        for track in record.answer.tracks
                    ],
                }
            ],
        }
        for record in records
    ]


FORMATS: Mapping[str, Callable[[Sequence[Record]], Any]] = {
    "coco": to_coco,
    "youtube-vis": to_youtube_vis,
    "label-studio": to_label_studio,
}
"""What ``grounding export --format`` writes."""


def to_supervision(answer: GroundedText, frame: int) -> Any:
    """The tracks of one frame as ``supervision.Detections``: boxes, masks, tracker ids, ``class_name``.

    Raises:
        GroundingError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise GroundingError("supervision is not installed.", "pip install supervision") from error
    tracks = [track for track in answer.tracks if track.frames[frame] is not None]
    if not tracks:
        return supervision.Detections.empty()
    names = [label(answer, track) for track in tracks]
    return supervision.Detections(
        xyxy=np.array([track.box(frame) for track in tracks], dtype=np.float32),
        mask=np.stack([track.mask(frame) for track in tracks]),
        class_id=np.array([sorted(set(names)).index(name) for name in names]),
        tracker_id=np.array([track.id for track in tracks]),
        data={"class_name": np.array(names)},
    )


def detections(answer: GroundedText) -> Iterator[Any]:
    """:func:`to_supervision` of every frame, for its annotators and sinks."""
    length = len(answer.tracks[0]) if answer.tracks else 0
    return (to_supervision(answer, frame) for frame in range(length))
