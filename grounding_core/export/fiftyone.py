"""A data set of FiftyOne: videos, and beside each its labels as ETA's ``VideoLabels``.

Format: ``FiftyOneVideoLabelsDataset`` of https://docs.voxel51.com/user_guide/import_datasets.html, its labels
by https://github.com/voxel51/eta/blob/develop/docs/video_labels_guide.md. A mask is cut to its box, saved as
numpy's own file, compressed by zlib and written in base64.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import zlib
from collections.abc import Sequence
from mimetypes import guess_type
from pathlib import Path

import numpy as np

from grounding_core.errors import GroundingError
from grounding_core.export.record import Json, Record, labels
from grounding_core.masks import BoolMask


def to_fiftyone(records: Sequence[Record], folder: Path) -> None:
    """Write the folder that ``fiftyone.Dataset.from_dir`` reads: videos are copied, an answer is a sample.

    Raises:
        GroundingError: a video is no file, or the folder has something in it.
    """
    if folder.exists() and any(folder.iterdir()):
        raise GroundingError(f"{folder} is not empty.", "Choose another folder.")
    index = []
    for number, record in enumerate(records):
        video = Path(record.source)
        if not video.is_file() or not (guess_type(video.name)[0] or "").startswith("video/"):
            raise GroundingError(
                f"{video} is no video file, which FiftyOne plays.",
                "Use the format coco, and --frames for its pictures.",
            )
        name = f"{number:05d}-{record.name}"
        place = folder / "data" / f"{name}{video.suffix}"
        for part in ("data", "labels"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(video, place)
        (folder / "labels" / f"{name}.json").write_text(json.dumps(video_labels(record)), encoding="utf-8")
        index.append({"data": f"data/{place.name}", "labels": f"labels/{name}.json"})
    kind = "eta.core.datasets.LabeledVideoDataset"
    manifest = {"type": kind, "description": "grounding_core", "index": index}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def video_labels(record: Record) -> Json:
    """An answer: its text as the video's attribute ``answer``, its tracks as objects that ``index`` joins."""
    names = labels(record)
    frames: dict[int, list[Json]] = {}
    for track in record.answer.tracks:
        for frame, box in track.boxes().items():
            found = _object(track.mask(frame), box, names[track.id], track.id)
            frames.setdefault(frame + 1, []).append(found)
    kind = "eta.core.data.CategoricalAttribute"
    return {
        "attrs": {"attrs": [{"type": kind, "name": "answer", "value": record.answer.text}]},
        "frames": {
            str(number): {"frame_number": number, "objects": {"objects": found}}
            for number, found in sorted(frames.items())
        },
    }


def _object(mask: BoolMask, box: tuple[float, float, float, float], name: str, track: int) -> Json:
    (height, width), (x0, y0, x1, y1) = mask.shape, (round(side) for side in box)
    return {
        "type": "eta.core.objects.DetectedObject",
        "label": name,
        "index": track,
        "bounding_box": {
            "top_left": {"x": x0 / width, "y": y0 / height},
            "bottom_right": {"x": x1 / width, "y": y1 / height},
        },
        "mask": _packed(mask[y0:y1, x0:x1]),
    }


def _packed(mask: BoolMask) -> str:
    file = io.BytesIO()
    np.save(file, mask, allow_pickle=False)
    return base64.b64encode(zlib.compress(file.getvalue())).decode("ascii")
