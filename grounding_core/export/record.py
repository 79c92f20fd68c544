"""What is exported: saved answers, and the frames that their files name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from grounding_core.errors import GroundingError
from grounding_core.masks import MaskTrack, fits
from grounding_core.serial import from_json
from grounding_core.types import GroundedText
from grounding_core.video import Video

Json = dict[str, Any]

UNNAMED = "object"
"""Category of a track that no phrase names."""

QUALITY = 95

NOTE = "source.json"
"""Beside a video's frames: which video they are of, and when it was last changed."""


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
            record = cls(
                name=Path(video["source"]).stem or "video",
                source=str(video["source"]),
                size=(int(height), int(width)),
                length=int(video["frames"]),
                fps=float(video["fps"]),
                answer=from_json(data),
            )
            record._check()
            return record
        except (OSError, ValueError, KeyError, TypeError, AttributeError, GroundingError) as error:
            problem = (
                error.problem if isinstance(error, GroundingError) else f"{type(error).__name__}: {error}."
            )
            raise GroundingError(
                f"{file} is no saved answer: {problem}",
                "Name an answer.json of `grounding ground`, or its folder.",
            ) from error

    def _check(self) -> None:
        if not (self.fps > 0 and self.length > 0):
            raise GroundingError(f"Its video has {self.length} frames, {self.fps} a second.")
        for track in self.answer.tracks:
            if (track.size, len(track)) != (self.size, self.length):
                raise GroundingError(
                    f"Track {track.id} has {len(track)} frames of size {track.size}, its video {self.length} "
                    f"of size {self.size}."
                )
            for index, counts in enumerate(track.frames):
                if counts is not None and not fits(counts, track.size):
                    raise GroundingError(f"Track {track.id} has a broken mask in frame {index}.")


def label(answer: GroundedText, track: MaskTrack) -> str:
    """The first phrase that names a track, in lower case."""
    phrases = [answer.phrase(span) for span in answer.spans if track.id in span.tracks]
    named = next((phrase.strip().lower() for phrase in phrases if phrase.strip()), "")
    return named or UNNAMED


def labels(record: Record) -> dict[int, str]:
    """`label` of each track, by its id."""
    return {track.id: label(record.answer, track) for track in record.answer.tracks}


def frame_files(records: Sequence[Record]) -> list[list[str]]:
    """Where each record's frames are expected, below a folder of frames.

    A video's folder has its name; a second video of that name gets a number behind it.
    """
    folders: dict[str, str] = {}
    taken: set[str] = set()
    for record in records:
        name, number = record.name, 1
        # In lower case, since some file systems know no other.
        while record.source not in folders and name.lower() in taken:
            number += 1
            name = f"{record.name}-{number}"
        taken.add(folders.setdefault(record.source, name).lower())
    return [[f"{folders[each.source]}/{index:05d}.jpg" for index in range(each.length)] for each in records]


def write_frames(records: Sequence[Record], folder: Path) -> int:
    """Write the frames as `frame_files` names them, beside a ``source.json`` that says of what.

    A video whose frames are all there, and that was not changed since, is not read again.

    Returns:
        How many frames the answers are about.

    Raises:
        GroundingError: a video is gone or another one than before, a folder holds another's frames, or the
            folder can't be written.
    """
    for record, names in zip(records, frame_files(records), strict=True):
        video = Video.open(record.source)
        if (len(video), video.size) != (record.length, record.size):
            raise GroundingError(
                f"{record.source} is no longer the video that the answer is about.", "Ask it again."
            )
        places = [folder / name for name in names]
        place = places[0].parent
        there = Path(record.source)
        source = str(there.resolve()) if there.exists() else record.source
        note = {"source": source, "modified": there.stat().st_mtime_ns if there.exists() else None}
        place.mkdir(parents=True, exist_ok=True)
        held = _noted(place)
        if held.get("source") != source and any(place.iterdir()):
            raise GroundingError(
                f"{place} holds frames of {held.get('source', 'an unknown video')}, not of {source}.",
                "Name another folder with --frames.",
            )
        if held == note and all(each.exists() for each in places):
            continue
        # Without the time until all are written, so that an export cut short is written again.
        _note(place, {"source": source})
        for each, (_, pixels) in zip(places, video.stream(), strict=True):
            Image.fromarray(pixels).save(each, quality=QUALITY)
        _note(place, note)
    return sum(record.length for record in records)


def _noted(place: Path) -> Json:
    try:
        held = json.loads((place / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _note(place: Path, note: Json) -> None:
    (place / NOTE).write_text(json.dumps(note, ensure_ascii=False) + "\n", encoding="utf-8")
