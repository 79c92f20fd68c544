"""Answers for other programs: COCO and YouTube-VIS JSON, Label Studio, FiftyOne, supervision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grounding_core.export.coco import to_coco, to_youtube_vis
from grounding_core.export.detections import detections, to_supervision
from grounding_core.export.fiftyone import to_fiftyone
from grounding_core.export.label_studio import to_label_studio, to_label_studio_masks
from grounding_core.export.record import UNNAMED, Record, label, write_frames

FORMATS: Mapping[str, Callable[[Sequence[Record]], Any]] = {
    "coco": to_coco,
    "youtube-vis": to_youtube_vis,
    "label-studio": to_label_studio,
    "label-studio-masks": to_label_studio_masks,
}
"""Formats of one JSON file: what ``grounding export --format`` writes."""

FOLDERS: Mapping[str, Callable[[Sequence[Record], Path], None]] = {"fiftyone": to_fiftyone}
"""Formats of a folder."""

__all__ = [
    "FOLDERS",
    "FORMATS",
    "UNNAMED",
    "Record",
    "detections",
    "label",
    "to_coco",
    "to_fiftyone",
    "to_label_studio",
    "to_label_studio_masks",
    "to_supervision",
    "to_youtube_vis",
    "write_frames",
]
