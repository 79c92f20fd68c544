"""Faults that show in the pictures under the masks: each video is decoded once, and kept as histograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from benchmarks.audit.findings import Fault
from benchmarks.audit.tracks import Subject, crossing, overlap
from grounding_core.video import Video

SIDE = 256
"""Pictures are looked at with about this many pixels along their longer side."""
LEVELS = 6
"""Levels of each colour in a histogram."""
FROZEN_FRAMES = 4
"""Equal masks in a row that are worth a look."""
CHANGED = 18.0
"""Mean difference of the pixels under a mask, of 255, from which the picture has changed."""
OTHER = 0.55
"""Share of an object's pixels that have other colours, from which it looks like something else."""
GONE_FRAMES = 3
"""Frames at the start or the end of a track that must show something else."""
WAY = 0.02
"""Way in a few frames, in shares of the picture's longer side, that an object goes which leaves it."""
THUMBNAIL = 16
THUMBNAILS = 4

Histogram = npt.NDArray[np.float64]


@dataclass
class Looks:
    """What a video looks like.

    Attributes:
        total: (t, LEVELS**3) pixels of each colour, frame by frame.
        under: for each subject, frame -> pixels of each colour under its mask.
        frozen: for each subject, (first frame, last frame, change) of masks that stay equal; the change is
            the largest mean difference from the first picture, of 255.
        thumbnails: (THUMBNAILS, THUMBNAIL, THUMBNAIL, 3) small pictures spread over the video.
    """

    total: npt.NDArray[np.float64]
    under: list[dict[int, Histogram]]
    frozen: list[list[tuple[int, int, float]]]
    thumbnails: npt.NDArray[np.float64]


@dataclass
class _Run:
    """Equal masks in a row."""

    first: int = -1
    last: int = -1
    counts: bytes | None = None
    pixels: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    change: float = 0.0


def look(video: Video, subjects: Sequence[Subject]) -> Looks:
    """Read a video once.

    Raises:
        VideoError: a frame can't be decoded.
    """
    height, width = video.size
    stride = max(max(height, width) // SIDE, 1)
    colours = LEVELS**3
    total = np.zeros((len(video), colours))
    under: list[dict[int, Histogram]] = [{} for _ in subjects]
    found: list[list[tuple[int, int, float]]] = [[] for _ in subjects]
    runs = [_Run() for _ in subjects]
    wanted = {int(i) for i in np.linspace(0, len(video) - 1, THUMBNAILS)}
    thumbnails = []
    annotated = [set(subject.frames) for subject in subjects]
    for index, frame in video.stream():
        small = frame[::stride, ::stride]
        bins = _bins(small)
        total[index] = np.bincount(bins.ravel(), minlength=colours)
        if index in wanted:
            thumbnails.append(_thumbnail(frame))
        for place, subject in enumerate(subjects):
            if index not in annotated[place]:
                continue
            counts = subject.track.frames[index]
            inside = None if counts is None else subject.track.mask(index)[::stride, ::stride]
            if inside is not None:
                under[place][index] = np.bincount(bins[inside], minlength=colours).astype(np.float64)
            run = runs[place]
            if inside is not None and counts == run.counts:
                pixels = small[inside].astype(np.float64)
                run.last = index
                if pixels.size:
                    run.change = max(run.change, float(np.abs(pixels - run.pixels).mean()))
                continue
            _finish(run, found[place])
            pixels = np.empty(0) if inside is None else small[inside].astype(np.float64)
            runs[place] = _Run(index, index, counts, pixels)
    for run, kept in zip(runs, found, strict=True):
        _finish(run, kept)
    return Looks(
        total, under, found, np.stack([thumbnails[min(i, len(thumbnails) - 1)] for i in range(THUMBNAILS)])
    )


def _finish(run: _Run, found: list[tuple[int, int, float]]) -> None:
    if run.counts is not None:
        found.append((run.first, run.last, run.change))


def _bins(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    levels = picture.astype(np.int64) * LEVELS // 256
    return np.asarray((levels[..., 0] * LEVELS + levels[..., 1]) * LEVELS + levels[..., 2])


def _thumbnail(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Means over a grid of THUMBNAIL x THUMBNAIL cells; a smaller picture repeats its pixels."""
    height, width = frame.shape[:2]
    rows = np.arange(THUMBNAIL) * height // THUMBNAIL
    columns = np.arange(THUMBNAIL) * width // THUMBNAIL
    summed = np.add.reduceat(np.add.reduceat(frame.astype(np.float64), rows, axis=0), columns, axis=1)
    high = np.maximum(np.diff([*rows, height]), 1)
    wide = np.maximum(np.diff([*columns, width]), 1)
    return np.asarray(summed / (high[:, None, None] * wide[None, :, None]))


def faults(subjects: Sequence[Subject], looks: Looks) -> dict[int, list[Fault]]:
    """Place of a subject -> its frozen masks, swaps and masks of objects that are gone."""
    found: dict[int, list[Fault]] = {}
    swapped: set[int] = set()
    for (i, one), (j, other) in combinations(enumerate(subjects), 2):
        when = crossing(one, other)
        if when is None:
            when = _exchange(one, looks.under[i], other, looks.under[j])
        if when is None:
            continue
        swapped |= {i, j}
        reason = f"“{one.name}” and “{other.name}” exchange their masks at frame {when}."
        for place in (i, j):
            shown = [*[frame for frame in subjects[place].visible if frame < when][-1:], when]
            found.setdefault(place, []).append(
                Fault("identity-swap", 0.7, reason, tuple(shown), (one.track.id, other.track.id))
            )
    for place in sorted(set(range(len(subjects))) - swapped):
        for fault in _lingering(subjects, looks, place):
            found.setdefault(place, []).append(fault)
    return found


def _exchange(
    one: Subject, first: dict[int, Histogram], other: Subject, second: dict[int, Histogram]
) -> int | None:
    """The frame from which each looks as the other did before; None if there is none."""
    frames = sorted(set(one.whole) & set(other.whole) & set(first) & set(second))
    best, when = 0.5, None
    if len(frames) < 2 * GONE_FRAMES:
        return None
    a = np.stack([_shares(first[frame]) for frame in frames])
    b = np.stack([_shares(second[frame]) for frame in frames])
    for place in range(GONE_FRAMES, len(frames) - GONE_FRAMES + 1):
        (a0, a1), (b0, b1) = ((x[:place].mean(axis=0), x[place:].mean(axis=0)) for x in (a, b))
        own = _difference(a0, a1) + _difference(b0, b1)
        cross = _difference(a0, b1) + _difference(b0, a1)
        if own > 2 * OTHER and cross / own < best:
            best, when = cross / own, frames[place]
    return when


def _lingering(subjects: Sequence[Subject], looks: Looks, place: int) -> Iterator[Fault]:
    subject, under = subjects[place], looks.under[place]
    strange = set(_strange_ends(subject, under))
    after: set[int] = set()
    for first, last, change in looks.frozen[place]:
        frames = [frame for frame in subject.visible if first <= frame <= last]
        if len(frames) < FROZEN_FRAMES or change < CHANGED:
            continue
        # The outermost frames tell: the object may be on its way out in the others.
        ends = [frames[:GONE_FRAMES]] if frames[0] == subject.visible[0] else []
        ends += [frames[-GONE_FRAMES:]] if frames[-1] == subject.visible[-1] else []
        gone = any(_gone(subjects, looks, place, frames, end) for end in ends)
        if gone or _left(subject, frames):
            after |= set(frames)
            continue
        reason = (
            f"“{subject.name}” stands still from frame {first} to {last} while the picture under it changes."
        )
        yield subject.fault("frozen-mask", min(0.3 + 0.05 * len(frames), 0.8), reason, (first, last))
    if strange and not after and _gone(subjects, looks, place, sorted(strange), sorted(strange)):
        after = strange
    if after:
        reason = f"“{subject.name}” has masks in {len(after)} frames in which nothing looks like it any more."
        yield subject.fault("longer-than-visible", min(0.3 + 0.05 * len(after), 0.8), reason, sorted(after))


def _left(subject: Subject, frames: Sequence[int]) -> bool:
    """Whether an object was on its way out of the picture when its mask began to stand still at its end."""
    before = [frame for frame in subject.visible if frame < frames[0]][-GONE_FRAMES:]
    if frames[-1] != subject.visible[-1] or len(before) < GONE_FRAMES:
        return False
    first, last = (np.array(subject.track.box(frame)) for frame in (before[0], frames[0]))
    right, down = ((last - first).reshape(2, 2).mean(axis=0) / max(subject.track.size)).tolist()
    height, width = subject.track.size
    out = (
        (last[0] <= 1 and right < -WAY)
        or (last[1] <= 1 and down < -WAY)
        or (last[2] >= width - 1 and right > WAY)
        or (last[3] >= height - 1 and down > WAY)
    )
    return bool(out)


def _strange_ends(subject: Subject, under: dict[int, Histogram]) -> list[int]:
    """Frames at the start and at the end of a track that look like something else than its middle."""
    frames = [frame for frame in subject.whole if frame in under]
    if len(frames) <= 2 * GONE_FRAMES:
        return []
    shares = np.stack([_shares(under[frame]) for frame in frames])
    usual = np.median(shares, axis=0)
    strange = [_difference(share, usual / max(usual.sum(), 1e-9)) > OTHER for share in shares]
    ends: list[int] = []
    for order in (range(len(frames)), range(len(frames) - 1, -1, -1)):
        run: list[int] = []
        for place in order:
            if not strange[place]:
                break
            run.append(frames[place])
        if GONE_FRAMES <= len(run) <= len(frames) // 2:
            ends += run
    return ends


def _gone(
    subjects: Sequence[Subject], looks: Looks, place: int, doubted: Sequence[int], end: Sequence[int]
) -> bool:
    """Whether the colours that are the object's own are missing from the picture, other objects left aside.

    Args:
        subjects: all objects of the video.
        looks: of the video.
        place: of the object.
        doubted: frames that can't tell what the object looks like.
        end: frames in which it may be gone.
    """
    under = looks.under[place]
    others = [frame for frame in subjects[place].whole if frame in under and frame not in set(doubted)]
    if len(others) < GONE_FRAMES:
        return False
    inside = np.stack([under[frame] for frame in others])
    outside = _without_others(subjects, looks, place, others) - inside
    p, q = _shares(inside.sum(axis=0)), _shares(outside.sum(axis=0))
    own = (p > 1.5 * q) & (p > 0.02)
    if p[own].sum() < 0.3:
        return False  # nothing in its colours tells it from its surroundings
    # The background may have its colours too: what counts is how much of them is missing.
    usual = float(np.median(inside[:, own].sum(axis=1)))
    before = float(np.median((inside + outside)[:, own].sum(axis=1)))
    after = float(np.median(_without_others(subjects, looks, place, end)[:, own].sum(axis=1)))
    return before - after > 0.5 * usual


def _without_others(
    subjects: Sequence[Subject], looks: Looks, place: int, frames: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Colours (n, LEVELS**3) of pictures but for what is under the masks of other objects."""
    left = looks.total[list(frames)]
    apart = [subjects[place]]
    for other, under in zip(subjects, looks.under, strict=True):
        # Tracks that overlap are the same object under another name, or hold it.
        if any(_touch(other, known) for known in apart):
            continue
        apart.append(other)
        for row, frame in enumerate(frames):
            if frame in under:
                left[row] -= under[frame]
    return left


def _touch(one: Subject, other: Subject) -> bool:
    shared = sorted(set(one.visible) & set(other.visible))
    # A lingering mask may be crossed by others: most frames decide.
    hits = sum(overlap(one.track, frame, other.track, frame) > 0.1 for frame in shared)
    return one is other or 2 * hits > len(shared)


def _shares(counts: Histogram) -> Histogram:
    return np.asarray(counts / max(counts.sum(), 1.0))


def _difference(one: Histogram, other: Histogram) -> float:
    """0 for equal shares, 1 where no colour is shared."""
    return float(0.5 * np.abs(one - other).sum())
