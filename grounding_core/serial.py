"""Answers as JSON: text, spans, and tracks whose frames are COCO RLE objects that pycocotools reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grounding_core import masks
from grounding_core.errors import GroundingError
from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText, Span


def to_json(answer: GroundedText) -> dict[str, Any]:
    """The answer as a JSON object.

    Returns:
        ``{"text", "spans": [{"start", "end", "tracks"}], "tracks": [{"id", "size": [H, W],
        "frames": [{"size", "counts"} or null, one a frame]}], "meta"}``.
    """
    return {
        "text": answer.text,
        "spans": [
            {"start": span.start, "end": span.end, "tracks": list(span.tracks)} for span in answer.spans
        ],
        "tracks": [_track_to_json(track) for track in answer.tracks],
        "meta": dict(answer.meta),
    }


def from_json(data: Mapping[str, Any]) -> GroundedText:
    """The answer that `to_json` wrote.

    Raises:
        GroundingError: the object is not an answer, or its parts contradict each other.
    """
    try:
        return GroundedText(
            text=str(data["text"]),
            spans=tuple(
                Span(int(span["start"]), int(span["end"]), tuple(int(id) for id in span["tracks"]))
                for span in data["spans"]
            ),
            tracks=tuple(_track_from_json(track) for track in data["tracks"]),
            meta=dict(data.get("meta", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GroundingError(
            f"This JSON is not an answer: {type(error).__name__}: {error}.",
            "Use what grounding_core.serial.to_json wrote.",
        ) from error


def _track_to_json(track: MaskTrack) -> dict[str, Any]:
    size = list(track.size)
    return {
        "id": track.id,
        "size": size,
        "frames": [
            None if counts is None else {"size": size, "counts": counts.decode("ascii")}
            for counts in track.frames
        ],
    }


def _track_from_json(data: Mapping[str, Any]) -> MaskTrack:
    height, width = (int(side) for side in data["size"])
    for index, rle in enumerate(data["frames"]):
        if rle is not None and list(rle["size"]) != [height, width]:
            raise ValueError(f"frame {index} has size {rle['size']}, its track {[height, width]}")
    return MaskTrack(
        id=int(data["id"]),
        size=(height, width),
        frames=tuple(masks.counts_of(rle) for rle in data["frames"]),
    )
