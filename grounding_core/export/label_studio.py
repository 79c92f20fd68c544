"""Tasks of Label Studio, whose predictions are our tracks."""

from __future__ import annotations

from collections.abc import Sequence

from grounding_core.export.record import Json, Record, frame_files, label, labels
from grounding_core.label_studio import brush, rectangles


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


def to_label_studio_masks(records: Sequence[Record]) -> list[Json]:
    """A task a frame, for an ``Image`` named ``image`` and a ``BrushLabels`` named ``mask``.

    A region's id is its track's, so that an object can be told from others through the frames.
    """
    tasks = []
    for record, files in zip(records, frame_files(records), strict=True):
        names = labels(record)
        for index, file in enumerate(files):
            seen = [track for track in record.answer.tracks if track.frames[index] is not None]
            brushes = [
                brush(track.mask(index), id=f"track-{track.id}", label=names[track.id]) for track in seen
            ]
            facts = {"image": file, "video": record.source, "frame": index, "text": record.answer.text}
            tasks.append(
                {"data": facts, "predictions": [{"model_version": "grounding_core", "result": brushes}]}
            )
    return tasks
