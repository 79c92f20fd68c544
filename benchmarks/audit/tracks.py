"""Faults that the shapes alone show: nothing here looks at a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco
from scipy import ndimage

from benchmarks.audit.findings import Fault
from grounding_core.interfaces.dataset import Box
from grounding_core.masks import MaskTrack

LEAP = 1.2
"""A leap is longer than this many times the object's extent ..."""
UNUSUAL = 4.0
"""... and than this many times the object's usual step."""
WHOLE = 0.3
"""Below this share of its usual area an object is mostly hidden: its place and looks tell little."""
PIECE = 0.02
"""A piece of a mask has at least this share of its area."""
MORE_PIECES = 4
"""A mask that has this many pieces more than it has elsewhere falls apart."""
SAME_TUBE = 0.75
"""Tracks that overlap more than this are one object."""


@dataclass(frozen=True)
class Subject:
    """A mask track that is audited.

    Attributes:
        track: its masks.
        name: the words that point at it.
        frames: those that carry truth.
    """

    track: MaskTrack
    name: str
    frames: tuple[int, ...]

    @cached_property
    def visible(self) -> list[int]:
        """Frames with truth in which there is a mask."""
        return [frame for frame in self.frames if self.track.frames[frame] is not None]

    @cached_property
    def areas(self) -> dict[int, int]:
        """Pixels by visible frame."""
        return {frame: self.track.area(frame) for frame in self.visible}

    @cached_property
    def whole(self) -> list[int]:
        """Visible frames in which the object is not mostly hidden."""
        usual = float(np.median(list(self.areas.values()))) if self.areas else 0.0
        return [frame for frame, area in self.areas.items() if area >= WHOLE * usual]

    def fault(self, kind: str, severity: float, reason: str, frames: Sequence[int]) -> Fault:
        """A fault of this track."""
        return Fault(kind, severity, reason, tuple(frames), (self.track.id,))


def overlap(one: MaskTrack, frame: int, other: MaskTrack, later: int) -> float:
    """IoU of a mask with another, perhaps of another frame; 0 where either is missing."""
    first, second = one.frames[frame], other.frames[later]
    if first is None or second is None:
        return 0.0
    size = list(one.size)
    ious = coco.iou([{"size": size, "counts": first}], [{"size": size, "counts": second}], [0])
    return float(ious[0][0])


def empty(subject: Subject) -> Iterator[Fault]:
    """No mask at all, or none in a single frame between two that agree."""
    if not subject.visible:
        yield subject.fault("empty-mask", 0.9, f"“{subject.name}” has no pixel in any frame.", ())
        return
    whole = set(subject.whole)
    lost = [
        frame
        for before, frame, after in zip(subject.frames, subject.frames[1:], subject.frames[2:], strict=False)
        if subject.track.frames[frame] is None
        and {before, after} <= whole
        and overlap(subject.track, before, subject.track, after) > 0.5
    ]
    if lost:
        reason = f"“{subject.name}” loses its mask in {_frames(lost)} and has it again in the same place."
        yield subject.fault("empty-mask", min(0.2 + 0.1 * len(lost), 0.6), reason, lost)


def leaps(
    frames: Sequence[int], boxes: npt.NDArray[np.float64], extent: float
) -> Iterator[tuple[int, int, float]]:
    """Places where an object leaps.

    Args:
        frames: in which it is seen, n of them, increasing.
        boxes: (n, 4) x0, y0, x1, y1.
        extent: how large it usually is, in pixels.

    Yields:
        (frame before, frame after, pixels).
    """
    if len(frames) < 3:
        return
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    leapt = steps > max(LEAP * extent, UNUSUAL * float(np.median(steps)))
    for place in map(int, np.flatnonzero(leapt)):
        yield frames[place], frames[place + 1], float(steps[place])


def jumping(subject: Subject) -> Iterator[Fault]:
    """Leaps between neighbouring frames whose masks do not touch."""
    whole = subject.whole
    if not whole:
        return
    boxes = np.array([subject.track.box(frame) for frame in whole], dtype=np.float64)
    extent = float(np.percentile((boxes[:, 2:] - boxes[:, :2]).max(axis=1), 90))
    follows = dict(pairwise(subject.frames))
    for before, after, far in leaps(whole, boxes, extent):
        if follows.get(before) == after and overlap(subject.track, before, subject.track, after) < 0.02:
            reason = (
                f"“{subject.name}” leaps {far:.0f} pixels between frames {before} and {after}, "
                f"{far / extent:.1f} times its size."
            )
            yield subject.fault("jumping-mask", 0.6, reason, (before, after))


def jumping_boxes(boxes: Mapping[int, Box], annotated: Sequence[int]) -> Iterator[Fault]:
    """As `jumping`, for a track of boxes."""
    frames = [frame for frame in annotated if frame in boxes]
    if not frames:
        return
    corners = np.array([boxes[frame] for frame in frames], dtype=np.float64)
    extent = float(np.percentile((corners[:, 2:] - corners[:, :2]).max(axis=1), 90))
    follows = dict(pairwise(annotated))
    for before, after, far in leaps(frames, corners, extent):
        if follows.get(before) == after:
            reason = f"The box leaps {far:.0f} pixels between frames {before} and {after}."
            yield Fault("jumping-mask", 0.6, reason, (before, after))


def fragmenting(subject: Subject, others: Sequence[Subject]) -> Iterator[Fault]:
    """Frames in which a mask has far more pieces than in its least broken ones.

    What another object's mask fills does not part it: an object behind a tree is one piece.

    Args:
        subject: whose masks.
        others: of the same video; may hold the subject itself.
    """
    pieces = {frame: count_pieces(subject.track.mask(frame)) for frame in subject.whole}
    if not pieces:
        return
    usual = int(np.percentile(list(pieces.values()), 25))
    # A mask that is broken in every frame has no better frame to compare with.
    allowed = min(usual, MORE_PIECES) + MORE_PIECES
    counted = {
        frame: count_pieces(subject.track.mask(frame), _fronts(subject, others, frame))
        for frame, count in pieces.items()
        if count >= allowed
    }
    broken = [frame for frame, count in counted.items() if count >= allowed]
    if broken:
        most = max(counted[frame] for frame in broken)
        reason = f"“{subject.name}” falls into up to {most} pieces in {_frames(broken)}."
        yield subject.fault("fragmenting-mask", min(0.3 + 0.05 * len(broken), 0.8), reason, broken)


def _fronts(subject: Subject, others: Sequence[Subject], frame: int) -> npt.NDArray[np.bool_]:
    """Pixels (H, W) of other objects, which may stand before this one."""
    mask = subject.track.mask(frame)
    fronts = np.zeros_like(mask)
    for other in others:
        if other.track.size == subject.track.size and frame < len(other.track):
            theirs = other.track.mask(frame)
            # Masks of visible pixels do not overlap: one that does belongs to the same object.
            if (theirs & mask).sum() < 0.1 * mask.sum():
                fronts |= theirs
    return fronts


def count_pieces(mask: npt.NDArray[np.bool_], filled: npt.NDArray[np.bool_] | None = None) -> int:
    """Pieces of a mask (H, W), connected over edges and corners, that are not specks.

    Args:
        mask: with at least one pixel.
        filled: pixels (H, W) that connect pieces without belonging to them.
    """
    whole = mask if filled is None else mask | filled
    labels, _ = ndimage.label(whole, structure=np.ones((3, 3), dtype=int))
    sizes = np.bincount(labels[mask])[1:]
    return int((sizes >= max(PIECE * sizes.sum(), 4)).sum())


def duplicates(subjects: Sequence[Subject]) -> Iterator[Fault]:
    """Pairs of objects of one caption that are the same tube."""
    for one, other in combinations(subjects, 2):
        shared, both = 0.0, 0.0
        for frame in one.frames:
            first, second = one.areas.get(frame, 0), other.areas.get(frame, 0)
            iou = overlap(one.track, frame, other.track, frame)
            inside = iou * (first + second) / (1 + iou)
            shared, both = shared + inside, both + first + second - inside
        if both and shared / both > SAME_TUBE:
            yield Fault(
                "duplicate-objects",
                0.7,
                f"“{one.name}” and “{other.name}” have the same masks (IoU {shared / both:.2f}).",
                tuple(sorted(set(one.visible) & set(other.visible))),
                (one.track.id, other.track.id),
            )


def crossing(one: Subject, other: Subject) -> int | None:
    """The frame from which two subjects are in each other's place; None if they never change."""
    for before, after in pairwise(one.frames):
        own = overlap(one.track, before, one.track, after), overlap(other.track, before, other.track, after)
        cross = overlap(one.track, before, other.track, after), overlap(other.track, before, one.track, after)
        if max(own) < 0.2 and min(cross) > 0.4:
            return after
    return None


def boxes_outside(
    boxes: Mapping[int, Box], size: tuple[int, int], length: int, whose: str
) -> Iterator[Fault]:
    """Boxes that leave the picture by more than a pixel, lie beyond the video, or have no area."""
    height, width = size
    late = [frame for frame in boxes if not 0 <= frame < length]
    if late:
        reason = f"{whose} has boxes in {_frames(late)}, but the video has {length} frames."
        yield Fault("box-outside", 0.7, reason, (length - 1,))
    flat = [frame for frame, (x0, y0, x1, y1) in boxes.items() if not (x0 < x1 and y0 < y1)]
    if flat:
        yield Fault("box-outside", 0.7, f"{whose} has boxes without area in {_frames(flat)}.", tuple(flat))
    out = {
        frame: max(-x0, -y0, x1 - width, y1 - height)
        for frame, (x0, y0, x1, y1) in boxes.items()
        if max(-x0, -y0, x1 - width, y1 - height) > 1
    }
    if out:
        far = max(out.values())
        severity = 0.3 if far < 0.1 * max(size) else 0.7
        reason = (
            f"{whose} leaves the picture ({width}x{height}) by up to {far:.0f} px in {_frames(list(out))}."
        )
        yield Fault("box-outside", severity, reason, tuple(out))


def _frames(frames: Sequence[int]) -> str:
    if len(frames) == 1:
        return f"frame {frames[0]}"
    return f"{len(frames)} frames ({', '.join(map(str, frames[:3]))}{', …' if len(frames) > 3 else ''})"
