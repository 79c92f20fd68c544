"""Masks without a model: GrabCut (Rother et al. 2004, by OpenCV) in each box, or followed from one frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from benchmarks.annotate.items import Thing
from benchmarks.annotate.steps import Step
from grounding_core.errors import QueryError
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.dataset import Box
from grounding_core.interfaces.spatial_prompts import SpatialPrompts
from grounding_core.masks import BoolMask, MaskTrack, encode
from grounding_core.video import Video

Picture = npt.NDArray[np.uint8]
LEVELS = 8
"""Levels of each colour by which an object that is followed is known."""
AROUND = 0.5
"""Share of a box that is looked at around it: what is not the object."""
SMALLEST = 0.1
"""Share of its first area below which an object that is followed is lost."""


class GrabCutConfig(ComponentConfig):
    """How hard it tries."""

    rounds: int = Field(default=3, ge=1, le=20, description="Rounds of GrabCut in each frame.")


class GrabCut(Step):
    """Tells the object in a box from its surroundings by colour."""

    Config = GrabCutConfig

    def __init__(self, config: GrabCutConfig) -> None:
        self._rounds = config.rounds

    def tracks(self, video: Video, things: Sequence[Thing]) -> list[MaskTrack]:
        """See `benchmarks.annotate.steps.MaskMaker`; sparse boxes are followed both ways."""
        found = {}
        for thing in things:
            if thing.sparse and thing.boxes:
                boxes = thing.boxes
                largest = max(boxes, key=lambda i: _area(boxes[i]))
                prompts = SpatialPrompts(boxes=np.array([boxes[largest]], dtype=np.float64))
                found[thing.id] = list(self.redraw(video, largest, prompts).frames)
            else:
                found[thing.id] = [None] * len(video)
        dense = [thing for thing in things if not thing.sparse]
        for index, frame in video.stream():
            for thing in dense:
                if index in thing.boxes:
                    found[thing.id][index] = encode(self._in_box(frame, thing.boxes[index]))
        return [MaskTrack(thing.id, video.size, tuple(found[thing.id])) for thing in things]

    def redraw(self, video: Video, frame: int, prompts: SpatialPrompts) -> MaskTrack:
        """From a box, clicks or a mask in one frame: it is followed as long as its colours are near."""
        picture = video.frames([frame])[0]
        first = self._pointed(picture, prompts)
        rows: list[bytes | None] = [None] * len(video)
        rows[frame] = encode(first)
        for order in (range(frame + 1, len(video)), range(frame - 1, -1, -1)):
            for index, mask in self._follow(video, order, picture, first):
                rows[index] = encode(mask)
        return MaskTrack(0, video.size, tuple(rows))

    def _pointed(self, frame: Picture, prompts: SpatialPrompts) -> BoolMask:
        if len(prompts) != 1:
            raise QueryError(f"{len(prompts)} objects can't be redrawn at once.", "Point at one.")
        if prompts.masks is not None:
            return np.asarray(prompts.masks[0])
        if prompts.boxes is not None:
            x0, y0, x1, y1 = (float(side) for side in prompts.boxes[0])
            return self._in_box(frame, (x0, y0, x1, y1))
        assert prompts.points is not None
        return self._clicked(frame, prompts.points[0])

    def _in_box(self, frame: Picture, box: Box) -> BoolMask:
        """The object of a box; all of the box where its colours tell nothing."""
        height, width = frame.shape[:2]
        x0, y0 = max(int(np.floor(box[0])), 0), max(int(np.floor(box[1])), 0)
        x1, y1 = min(int(np.ceil(box[2])), width), min(int(np.ceil(box[3])), height)
        mask = np.zeros((height, width), dtype=bool)
        if x1 <= x0 or y1 <= y0:
            return mask
        mask[y0:y1, x0:x1] = True
        right, down = int(AROUND * (x1 - x0)) + 2, int(AROUND * (y1 - y0)) + 2
        rows, columns = slice(max(y0 - down, 0), y1 + down), slice(max(x0 - right, 0), x1 + right)
        guess = np.where(mask[rows, columns], cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
        found = self._cut(frame[rows, columns], guess)
        if found.sum() >= SMALLEST * mask.sum():
            mask[rows, columns] &= found
        return mask

    def _clicked(self, frame: Picture, points: npt.NDArray[np.floating[Any]]) -> BoolMask:
        """What has the colours of the clicks, around them."""
        height, width = frame.shape[:2]
        rows, columns = np.mgrid[:height, :width]
        guess = np.full((height, width), cv2.GC_PR_BGD, dtype=np.uint8)
        reach, sure = 0.12 * max(height, width), max(0.01 * max(height, width), 1.0)
        for x, y, inside in points:
            far = np.hypot(columns + 0.5 - x, rows + 0.5 - y)
            if inside:
                guess[(far < reach) & (guess == cv2.GC_PR_BGD)] = cv2.GC_PR_FGD
            guess[far < sure + 0.5] = cv2.GC_FGD if inside else cv2.GC_BGD
        found = self._cut(frame, guess)
        count, labels = cv2.connectedComponents(found.astype(np.uint8))
        hit = {
            int(labels[min(int(y), height - 1), min(int(x), width - 1)]) for x, y, inside in points if inside
        }
        return np.isin(labels, sorted(hit - {0})) if count > 1 else found

    def _follow(
        self, video: Video, order: range, picture: Picture, first: BoolMask
    ) -> Iterator[tuple[int, BoolMask]]:
        mask, smallest = first, max(SMALLEST * first.sum(), 4.0)
        own = _own_colours(picture, first)
        for index in order:
            (frame,) = video.frames([index])
            near = _around(mask)
            guess = np.full(mask.shape, cv2.GC_BGD, dtype=np.uint8)
            guess[near] = np.where(own[_bins(frame)], cv2.GC_PR_FGD, cv2.GC_PR_BGD)[near]
            if (guess == cv2.GC_PR_FGD).sum() < smallest:
                return
            mask = self._cut(frame, guess)
            if mask.sum() < smallest:
                return
            yield index, mask

    def _cut(self, picture: Picture, guess: Picture) -> BoolMask:
        if not (guess & 1).any() or (guess & 1).all():
            return np.asarray((guess & 1).astype(bool))
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)
        bgr = np.ascontiguousarray(picture[..., ::-1])
        try:
            found, *_ = cv2.grabCut(bgr, guess.copy(), None, *models, self._rounds, cv2.GC_INIT_WITH_MASK)
        except cv2.error:  # too few pixels of either side to learn their colours
            return np.asarray((guess & 1).astype(bool))
        return np.asarray((found & 1).astype(bool))


def _around(mask: BoolMask) -> BoolMask:
    """Where an object may be in the next frame."""
    reach = max(int(0.8 * np.sqrt(mask.sum())), 3)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), dtype=np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel).astype(bool))


def _bins(picture: Picture) -> npt.NDArray[np.int64]:
    levels = picture.astype(np.int64) * LEVELS // 256
    return np.asarray((levels[..., 0] * LEVELS + levels[..., 1]) * LEVELS + levels[..., 2])


def _own_colours(picture: Picture, mask: BoolMask) -> BoolMask:
    """Which colours (LEVELS**3) are rather the object's than those of what is around it."""
    bins, around = _bins(picture), _around(mask) & ~mask
    inside, outside = (np.bincount(bins[part], minlength=LEVELS**3) for part in (mask, around))
    return np.asarray(inside / max(inside.sum(), 1) > outside / max(outside.sum(), 1))


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
