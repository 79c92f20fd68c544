"""What is exported: saved answers, and the frames that their files name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from grounding_core.errors import GroundingError
from grounding_core.masks import MaskTrack
from grounding_core.serial import from_json
from grounding_core.types import GroundedText
from grounding_core.video import Video

Json = dict[str, Any]

UNNAMED = "object"
"""Category of a track that no phrase names."""

QUALITY = 95


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


def labels(record: Record) -> dict[int, str]:
    """:func:`label` of each track, by its id."""
    return {track.id: label(record.answer, track) for track in record.answer.tracks}


def frame_files(record: Record) -> list[str]:
    """Where each frame is expected, below a folder of frames."""
    return [f"{record.name}/{index:05d}.jpg" for index in range(record.length)]


def write_frames(records: Sequence[Record], folder: Path) -> int:
    """Write the frames as :func:`frame_files` names them; a video of which all are there is not read again.

    Returns:
        How many frames the answers are about.

    Raises:
        GroundingError: a video is gone or another one than before, two of them have one name, or the
            folder can't be written.
    """
    sources: dict[str, str] = {}
    for record in records:
        if sources.setdefault(record.name, record.source) != record.source:
            raise GroundingError(
                f"{record.source} and {sources[record.name]} would share one folder of frames.",
                "Rename a video, or export them one by one.",
            )
        video = Video.open(record.source)
        if (len(video), video.size) != (record.length, record.size):
            raise GroundingError(
                f"{record.source} is no longer the video that the answer is about.", "Ask it again."
            )
        places = [folder / name for name in frame_files(record)]
        places[0].parent.mkdir(parents=True, exist_ok=True)
        if all(place.exists() for place in places):
            continue
        for place, (_, pixels) in zip(places, video.stream(), strict=True):
            Image.fromarray(pixels).save(place, quality=QUALITY)
    return sum(record.length for record in records)
