"""Detections of the library supervision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from grounding_core.errors import GroundingError
from grounding_core.export.record import label
from grounding_core.types import GroundedText


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
    # Over the whole answer: a class keeps its number through the frames.
    classes = sorted({label(answer, track) for track in answer.tracks})
    return supervision.Detections(
        xyxy=np.array([track.box(frame) for track in tracks], dtype=np.float32),
        mask=np.stack([track.mask(frame) for track in tracks]),
        class_id=np.array([classes.index(name) for name in names]),
        tracker_id=np.array([track.id for track in tracks]),
        data={"class_name": np.array(names)},
    )


def detections(answer: GroundedText) -> Iterator[Any]:
    """`to_supervision` of every frame, for its annotators and sinks."""
    length = len(answer.tracks[0]) if answer.tracks else 0
    return (to_supervision(answer, frame) for frame in range(length))
