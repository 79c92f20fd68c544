"""Spatio-temporal grounding: when and where a statement holds, as a moment and a tube of boxes."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from benchmarks.metrics.grounding import (
    Box,
    TubeScores,
    remove_small_blobs,
    tube_scores,
    videoglamm_box,
    videoglamm_scores,
)
from benchmarks.stats import Measure
from benchmarks.tasks.base import Counts, Judgement, Task
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Truth
from grounding_core.masks import MaskTrack, decode, unite
from grounding_core.types import GroundedText

_OURS = "half-open moments, edge-exclusive boxes, all objects of the answer together, every frame"
_THEIRS = (
    "as VideoGLaMM: inclusive ends in half-open formulas, last object only, samples without answer left out"
)


class Grounding(Task):
    """tIoU, vIoU and gt_vIoU. The predicted moment is the span in which the answer's masks are visible."""

    name: ClassVar[str] = "grounding"
    title: ClassVar[str] = "Spatio-temporal grounding"
    headline: ClassVar[str] = "viou"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("viou", "vIoU", f"box IoU in both moments over frames in either; {_OURS}"),
        Measure("tiou", "tIoU", f"overlap of the moments; {_OURS}"),
        Measure(
            "gt_viou", "gt vIoU", f"mean box IoU in the true moment ('mIoU' in the VideoGLaMM paper); {_OURS}"
        ),
        Measure("viou_30", "vIoU>.3", "share of samples with vIoU above 0.3"),
        Measure("viou_50", "vIoU>.5", "share of samples with vIoU above 0.5"),
        Measure("viou_official", "vIoU official", _THEIRS, brief=False),
        Measure("tiou_official", "tIoU official", _THEIRS, brief=False),
        Measure("gt_viou_official", "gt vIoU official", _THEIRS, brief=False),
    )

    def judge(self, answer: GroundedText | None, truth: Truth) -> Judgement:
        """Boxes of the answer's masks against the true tube."""
        if truth.interval is None:
            raise GroundingError(
                "The truth of a grounding sample has no interval.", "Check the data set's reader."
            )
        tracks = () if answer is None else answer.tracks
        counts = self._corrected(tracks, truth, truth.interval)
        return Judgement(counts | self._official(tracks, truth, truth.interval))

    def _corrected(self, tracks: tuple[MaskTrack, ...], truth: Truth, moment: tuple[int, int]) -> Counts:
        boxes: dict[int, Box] = {}
        if tracks:
            track = unite(tracks)
            boxes = {frame: box for frame in track.visible() if (box := track.box(frame)) is not None}
        found = (min(boxes), max(boxes) + 1) if boxes else None
        last = max(moment[1], found[1] if found else 0)
        frames = range(last) if truth.annotated is None else truth.annotated
        scores = tube_scores(truth.boxes, moment, boxes, found, frames)
        return {
            **{key: (value, 1.0) for key, value in _named(scores).items()},
            "viou_30": (float(scores.viou > 0.3), 1.0),
            "viou_50": (float(scores.viou > 0.5), 1.0),
        }

    def _official(self, tracks: tuple[MaskTrack, ...], truth: Truth, moment: tuple[int, int]) -> Counts:
        visible = tracks[-1].visible() if tracks else ()
        if not visible:
            return {f"{key}_official": (0.0, 0.0) for key in ("viou", "tiou", "gt_viou")}
        track = tracks[-1]
        frames = range(len(track)) if truth.annotated is None else truth.annotated
        inside = [frame for frame in frames if moment[0] <= frame < moment[1] and frame < len(track)]
        boxes = {frame: _their_box(track.frames[frame], track.size) for frame in inside}
        scores = videoglamm_scores(
            truth.boxes, (moment[0], moment[1] - 1), boxes, (visible[0], visible[-1]), list(frames)
        )
        return {f"{key}_official": (value, 1.0) for key, value in _named(scores).items()}


@lru_cache(maxsize=4096)
def _their_box(counts: bytes | None, size: tuple[int, int]) -> Box:
    """Remembered, because several questions about a video often get the same mask."""
    return videoglamm_box(remove_small_blobs(decode(counts, size)))


def _named(scores: TubeScores) -> dict[str, float]:
    return {"viou": scores.viou, "tiou": scores.tiou, "gt_viou": scores.gt_viou}
