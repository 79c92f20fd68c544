"""What the referring video sets have in common: a JSON of videos with expressions, and frames by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.datasets.files import open_frames, read_json, reading
from grounding_core.interfaces.dataset import Sample
from grounding_core.video import Video

Entry = Mapping[str, Any]


def read_videos(path: Path, source: str) -> Mapping[str, Entry]:
    """The field ``videos`` of an expressions file: name -> frames, expressions ...

    Raises:
        DataError: the file is missing, not JSON, or has no videos.
    """
    with reading(path, "the file"):
        videos: Mapping[str, Entry] = dict(read_json(path, source)["videos"])
    return videos


def samples_of(
    path: Path, videos: Mapping[str, Entry], samples: Callable[[str, Entry], list[Sample]]
) -> list[Sample]:
    """The samples of all videos, sorted by id.

    Args:
        path: the file that ``videos`` come from, for messages.
        videos: as `read_videos`.
        samples: makes the samples of one video from its name and entry.

    Raises:
        DataError: an entry lacks something, or is malformed; names file and video.
    """
    found: list[Sample] = []
    for video, entry in videos.items():
        with reading(path, f"video {video}"):
            found += samples(video, entry)
    return sorted(found, key=lambda sample: sample.id)


def frame_names(entry: Entry) -> list[str]:
    """Names of a video's frames, in order, without ending."""
    return [str(name) for name in entry["frames"]]


def open_video(images: Path, video: str, frames: Sequence[str]) -> Video:
    """``<images>/<video>.mp4`` if it is there, else ``<images>/<video>/<frame>.jpg``.

    Raises:
        DataError: neither is there.
    """
    return open_frames(images / f"{video}.mp4", [images / video / f"{name}.jpg" for name in frames])


def count_tag(objects: Sequence[Any]) -> dict[str, str]:
    """How many objects an expression names, as a tag; nothing where the data set keeps it to itself."""
    if not objects:
        return {}
    return {"objects": str(len(objects)) if len(objects) < 4 else "4+"}
