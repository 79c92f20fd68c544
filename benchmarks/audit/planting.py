"""Faults planted in good data, to measure what an audit finds of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.datasets.markup import reworded
from benchmarks.image_text import unlike
from grounding_core.errors import VideoError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.masks import MaskTrack, decode, encode
from grounding_core.types import GroundedText, Span
from grounding_core.video import Video

Frames = list["bytes | None"]
Rng = np.random.Generator
EXCHANGED, MISFIT = "exchanged-phrases", "phrase-misfit"
OF_WORDS = (EXCHANGED, MISFIT)
"""Found by an image–text component alone."""
MOVED = 0.5
"""Overlap of an object's first and last box from which it has not moved enough to show a frozen mask."""


def plant(sample: Sample, kind: str, rng: Rng, phrases: Sequence[str] = ()) -> Sample | None:
    """The sample with a fault of a kind; None where it has no object that can show it.

    Args:
        sample: a question with masks; its truth is read.
        kind: one of `kinds`.
        rng: the only source of chance.
        phrases: of other samples, one of which becomes a wrong one.
    """
    if kind == "undecodable":
        return replace(sample, open_video=lambda: _broken(sample.open_video(), rng))
    if kind == "box-outside":
        truth = sample.load_truth()
        changed = None if not truth.boxes else replace(truth, boxes=_pushed(truth, sample.open_video().size))
    elif kind == MISFIT:
        changed = _reworded(sample.load_truth(), rng, phrases)
    else:
        changed = _FAULTS[kind](sample.load_truth(), rng)
    return None if changed is None else replace(sample, load_truth=lambda: changed)


def kinds() -> list[str]:
    """What can be planted in one sample."""
    return [*_FAULTS, MISFIT, "box-outside", "undecodable"]


def twin(sample: Sample, other: Sample) -> Sample:
    """A copy of a captioned video, under another name, with the caption of another."""
    name = f"{sample.video_id} (copy)"
    return replace(other, id=f"{sample.id} (copy)", video_id=name, open_video=sample.open_video)


def _unlinked(truth: Truth, rng: Rng) -> Truth | None:
    caption = truth.caption
    if caption is None or not caption.spans:
        return None
    place = int(rng.integers(len(caption.spans)))
    spans = [replace(s, tracks=()) if i == place else s for i, s in enumerate(caption.spans)]
    named = {id for span in spans for id in span.tracks}
    return _with(truth, [track for track in truth.tracks if track.id in named], spans)


def _unnamed(truth: Truth, rng: Rng) -> Truth | None:
    caption = truth.caption
    if caption is None or len(caption.spans) < 2:
        return None
    place = int(rng.integers(len(caption.spans)))
    return _with(truth, truth.tracks, [span for i, span in enumerate(caption.spans) if i != place])


def _emptied(truth: Truth, rng: Rng) -> Truth | None:
    return _changed(truth, rng, lambda track: [None] * len(track))


def _jumping(truth: Truth, rng: Rng) -> Truth | None:
    """A mask turns up at the other side of the picture for a while."""

    def change(track: MaskTrack) -> Frames | None:
        start = int(rng.integers(2, max(len(track) - 4, 3)))
        frames: Frames = list(track.frames)
        moved = False
        for frame in range(start, min(start + int(rng.integers(1, 4)), len(track))):
            mask = track.mask(frame)
            far = _elsewhere(mask, track.box(frame))
            moved |= bool(mask.any()) and not (far & mask).any()
            frames[frame] = encode(far)
        return frames if moved and track.frames[start - 1] is not None else None

    return _changed(truth, rng, change)


def _elsewhere(mask: npt.NDArray[np.bool_], box: tuple[float, ...] | None) -> npt.NDArray[np.bool_]:
    """The mask in the corner that is farthest from it."""
    if box is None:
        return mask
    height, width = mask.shape
    x0, y0, x1, y1 = (int(side) for side in box)
    down = -y0 if y0 > height - y1 else height - y1
    right = -x0 if x0 > width - x1 else width - x1
    return np.roll(mask, (down, right), axis=(0, 1))


def _fragmented(truth: Truth, rng: Rng) -> Truth | None:
    """Strips are missing from a few masks."""

    def change(track: MaskTrack) -> Frames:
        frames: Frames = list(track.frames)
        seen = track.visible()
        start = int(rng.integers(max(len(seen) - 3, 1)))
        for frame in seen[start : start + int(rng.integers(1, 4))]:
            x0, y0, x1, y1 = (int(side) for side in track.box(frame) or (0, 0, 0, 0))
            mask = track.mask(frame)
            for k in range(1, 4):
                mask[y0 + k * (y1 - y0) // 4 - 1 : y0 + k * (y1 - y0) // 4 + 1] = False
                mask[:, x0 + k * (x1 - x0) // 4 - 1 : x0 + k * (x1 - x0) // 4 + 1] = False
            frames[frame] = encode(mask)
        return frames

    return _changed(truth, rng, change)


def _frozen(truth: Truth, rng: Rng) -> Truth | None:
    """A mask stays where it was while its object moves on."""

    def change(track: MaskTrack) -> Frames | None:
        length = int(rng.integers(6, 10))
        start = int(rng.integers(1, max(len(track) - length, 2)))
        run = range(start, min(start + length, len(track)))
        if len(run) < 6 or any(track.frames[frame] is None for frame in run) or not _moves(track, run):
            return None
        return [track.frames[start] if i in run else counts for i, counts in enumerate(track.frames)]

    return _changed(truth, rng, change)


def _swapped(truth: Truth, rng: Rng) -> Truth | None:
    """Two masks change places from the middle on."""
    seen = [track for track in truth.tracks if len(track.visible()) == len(track)]
    if len(seen) < 2:
        return None
    one, other = (seen[int(i)] for i in rng.choice(len(seen), 2, replace=False))
    when = int(rng.integers(4, max(len(one) - 4, 5)))
    exchanged = {
        one.id: replace(one, frames=one.frames[:when] + other.frames[when:]),
        other.id: replace(other, frames=other.frames[:when] + one.frames[when:]),
    }
    return _with(truth, [exchanged.get(track.id, track) for track in truth.tracks])


def _lingering(truth: Truth, rng: Rng) -> Truth | None:
    """The last mask of an object that has gone stays to the end."""

    def change(track: MaskTrack) -> Frames | None:
        seen = track.visible()
        largest = max(map(track.area, seen), default=0)
        good = [frame for frame in seen if track.area(frame) > 0.6 * largest]
        if len(good) < 4 or len(track) - 1 - seen[-1] < 3:
            return None
        return [counts if i <= good[-1] else track.frames[good[-1]] for i, counts in enumerate(track.frames)]

    return _changed(truth, rng, change)


def _duplicated(truth: Truth, rng: Rng) -> Truth | None:
    """A phrase points at a copy of another object's track, a pixel to the side."""
    if truth.caption is None or len(truth.tracks) < 2:
        return None
    kept, gone = (truth.tracks[int(i)] for i in rng.choice(len(truth.tracks), 2, replace=False))
    if not kept.visible():
        return None
    shifted = [encode(np.roll(kept.mask(frame), 1, axis=1)) for frame in range(len(kept))]
    copy = MaskTrack(gone.id, kept.size, tuple(shifted))
    return _with(truth, [copy if track.id == gone.id else track for track in truth.tracks])


def _relinked(truth: Truth, rng: Rng) -> Truth | None:
    """Two phrases of different words change what they point at."""
    caption = truth.caption
    if caption is None:
        return None
    single = [span for span in caption.spans if len(span.tracks) == 1]
    pairs = list(combinations(single, 2))
    for place in rng.permutation(len(pairs)):
        one, other = pairs[int(place)]
        if one.tracks != other.tracks and unlike(caption.phrase(one), [caption.phrase(other)]):
            ids = {one.tracks: other.tracks, other.tracks: one.tracks}
            spans = [replace(span, tracks=ids.get(span.tracks, span.tracks)) for span in caption.spans]
            return _with(truth, truth.tracks, spans)
    return None


def _reworded(truth: Truth, rng: Rng, phrases: Sequence[str]) -> Truth | None:
    """A phrase of another sample stands where the words for an object were."""
    caption = truth.caption
    if caption is None:
        return None
    single = [place for place, span in enumerate(caption.spans) if len(span.tracks) == 1]
    said = {caption.phrase(span) for span in caption.spans}
    for place in rng.permutation(single):
        others = [p for p in unlike(caption.phrase(caption.spans[int(place)]), phrases) if p not in said]
        if others:
            words = others[int(rng.integers(len(others)))]
            return replace(truth, caption=reworded(caption, int(place), words))
    return None


_FAULTS: Mapping[str, Callable[[Truth, Rng], Truth | None]] = {
    "phrase-without-mask": _unlinked,
    "mask-without-phrase": _unnamed,
    "empty-mask": _emptied,
    "jumping-mask": _jumping,
    "fragmenting-mask": _fragmented,
    "frozen-mask": _frozen,
    "identity-swap": _swapped,
    "longer-than-visible": _lingering,
    "duplicate-objects": _duplicated,
    EXCHANGED: _relinked,
}


def _changed(truth: Truth, rng: Rng, change: Callable[[MaskTrack], Frames | None]) -> Truth | None:
    """One track, taken at random among those that can be changed, with other frames."""
    for place in rng.permutation(len(truth.tracks)):
        track = truth.tracks[int(place)]
        frames = change(track) if track.visible() else None
        if frames is not None:
            changed = replace(track, frames=tuple(frames))
            return _with(truth, [changed if other.id == track.id else other for other in truth.tracks])
    return None


def _with(truth: Truth, tracks: Sequence[MaskTrack], spans: Sequence[Span] | None = None) -> Truth:
    caption = truth.caption
    if caption is not None:
        caption = GroundedText(caption.text, caption.spans if spans is None else tuple(spans), tuple(tracks))
    return replace(truth, tracks=tuple(tracks), caption=caption)


def _moves(track: MaskTrack, frames: range) -> bool:
    first, last = decode(track.frames[frames[0]], track.size), decode(track.frames[frames[-1]], track.size)
    return bool((first & last).sum() < MOVED * (first | last).sum())


def _pushed(truth: Truth, size: tuple[int, int]) -> dict[int, tuple[float, float, float, float]]:
    """The boxes a picture's width to the right."""
    return {f: (x0 + size[1], y0, x1 + size[1], y1) for f, (x0, y0, x1, y1) in truth.boxes.items()}


def _broken(video: Video, rng: Rng) -> Video:
    """The same video, one frame of which does not decode."""
    reader = _Broken(video, int(rng.integers(len(video))))
    return Video(
        reader,
        name=video.name,
        source=video.source,
        start=0,
        stop=len(video),
    )


class _Broken:
    """A reader that fails at a frame."""

    def __init__(self, video: Video, bad: int) -> None:
        self._video, self._bad = video, bad
        self.size, self.timestamps, self.files = video.size, video.timestamps, video.files

    def frames(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        self._check(indices)
        return self._video.frames(indices)

    def stream(self, start: int, stop: int) -> Iterator[Any]:
        for index in range(start, stop):
            self._check([index])
            yield self._video.frames([index])[0]

    def _check(self, indices: Sequence[int]) -> None:
        if self._bad in indices:
            raise VideoError(
                f"Frame {self._bad} of {self._video.source} is damaged (planted).", "Leave it out."
            )
