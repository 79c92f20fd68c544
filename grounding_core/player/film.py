"""What the player shows, as values for JSON: a few small pictures of a video, and layers of masks on them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from grounding_core import drawing
from grounding_core.errors import GroundingError
from grounding_core.masks import MaskTrack, encode
from grounding_core.types import GroundedText
from grounding_core.video import Video, sample_indices

QUALITY = 55
"""Of the WebP pictures; masks are drawn over them in the browser."""

Box = tuple[float, float, float, float]
Json = dict[str, Any]


@dataclass(frozen=True)
class Film:
    """Some frames of a video, reduced.

    Attributes:
        frames: which frames of the video, ascending.
        times: their seconds from the start.
        size: (H, W) of the pictures.
        source: (H, W) of the video.
        length: number of frames of the video.
        seconds: what the video lasts.
        pictures: base64 of WebP pictures, one a frame; empty: plain ground.
    """

    frames: tuple[int, ...]
    times: tuple[float, ...]
    size: tuple[int, int]
    source: tuple[int, int]
    length: int
    seconds: float
    pictures: tuple[str, ...] = ()

    def to_json(self) -> Json:
        """For ``player.js``."""
        return {
            "frames": self.frames,
            "times": self.times,
            "size": self.size,
            "length": self.length,
            "seconds": self.seconds,
            "pictures": self.pictures,
        }


def film(video: Video, *, frames: int, longest: int, must: Sequence[int] = ()) -> Film:
    """Reduce a video.

    Args:
        video: what to show.
        frames: at most so many, spread evenly over the video.
        longest: side of the pictures in pixels; smaller videos keep their size.
        must: frames that are shown in any case, such as those that carry truth; spread as well, if more.

    Raises:
        VideoError: a frame can't be decoded.
    """
    indices = _chosen(len(video), frames, must)
    size = drawing.fit(video.size, min(longest, max(video.size)))
    start = float(video.timestamps[0])
    return Film(
        frames=tuple(indices),
        times=tuple(round(float(video.timestamps[index]) - start, 3) for index in indices),
        size=size,
        source=video.size,
        length=len(video),
        seconds=round(float(video.timestamps[-1]) - start + 1 / max(video.fps, 1e-3), 3),
        pictures=tuple(_picture(pixels, size) for pixels in video.frames(indices)),
    )


def blank(size: tuple[int, int], length: int, *, frames: int, longest: int, fps: float = 8.0) -> Film:
    """A film of a video that is not at hand: masks play over plain ground."""
    indices = _chosen(length, frames, ())
    return Film(
        frames=tuple(indices),
        times=tuple(round(index / fps, 3) for index in indices),
        size=drawing.fit(size, min(longest, max(size))),
        source=size,
        length=length,
        seconds=round(length / fps, 3),
    )


def _chosen(length: int, frames: int, must: Sequence[int]) -> list[int]:
    needed = sorted({index for index in must if 0 <= index < length})
    if len(needed) >= frames:
        return [needed[place] for place in sorted(set(sample_indices(len(needed), frames)))]
    return sorted({*needed, *sample_indices(length, frames - len(needed))})


def _picture(pixels: Any, size: tuple[int, int]) -> str:
    from PIL import Image

    picture = Image.fromarray(pixels)
    if picture.size != (size[1], size[0]):
        picture = picture.resize((size[1], size[0]), Image.Resampling.BICUBIC, reducing_gap=2.0)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=3)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def layer(
    shown: Film,
    title: str,
    answer: GroundedText,
    *,
    boxes: Mapping[int, Box] | None = None,
    moment: tuple[int, int] | None = None,
    note: str = "",
) -> Json:
    """One set of masks over a film, with its text: an answer, or the truth.

    Args:
        shown: the film.
        title: what stands above.
        answer: text, spans and tracks.
        boxes: frame -> box in pixels of the video.
        moment: frames [start, end) to mark on the timeline.
        note: stands below, e.g. an error.

    Raises:
        GroundingError: a track is of another size or length than the film's video.
    """
    for track in answer.tracks:
        if (track.size, len(track)) != (shown.source, shown.length):
            raise GroundingError(
                f"Track {track.id} has {len(track)} frames of size {track.size}, the video {shown.length} of "
                f"size {shown.source}.",
                "Show an answer with the video that it is about.",
            )
    found: Json = {
        "title": title,
        "text": answer.text,
        "spans": [[span.start, span.end, span.tracks] for span in answer.spans],
        "tracks": [_track(track, shown) for track in answer.tracks],
    }
    if boxes:
        scale = shown.size[1] / shown.source[1]
        found["boxes"] = [
            [round(side * scale, 1) for side in boxes[index]] if index in boxes else None
            for index in shown.frames
        ]
    if moment is not None:
        found["moment"] = moment
    if note:
        found["note"] = note
    return found


def _track(track: MaskTrack, shown: Film) -> Json:
    codes = []
    for index in shown.frames:
        counts = track.frames[index]
        if counts is not None and shown.size != shown.source:
            counts = encode(drawing.resized(track.mask(index), shown.size))
        codes.append(None if counts is None else counts.decode("ascii"))
    return {"id": track.id, "seen": _runs([counts is not None for counts in track.frames]), "masks": codes}


def _runs(seen: Sequence[bool]) -> list[list[int]]:
    """Ranges [start, end) of frames in which an object is visible."""
    runs, place = [], 0
    for visible, group in groupby(seen):
        length = len(list(group))
        if visible:
            runs.append([place, place + length])
        place += length
    return runs
