"""Spatio-temporal grounding: when and where a statement holds, as a moment and a tube of boxes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar

from benchmarks.metrics.grounding import (
    Box,
    TubeScores,
    remove_small_blobs,
    tube_scores,
    videoglamm_box,
    videoglamm_scores,
    written_interval,
)
from benchmarks.stats import Measure
from benchmarks.tasks.base import Counts, Judgement, Task
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Truth
from grounding_core.masks import MaskTrack, decode, unite
from grounding_core.types import GroundedText

Moment = tuple[int, int]

SAMPLED = "sampled_frames"
"""Key of an answer's ``meta``: the video's frames that the model saw, to which a written interval refers."""

_OURS = "half-open moments, edge-exclusive boxes, all objects of the answer together, every frame"
_WRITTEN = "the moment is that written in the answer as frames:(first,last)"
_THEIRS = (
    "as VideoGLaMM: inclusive ends in half-open formulas, last object only, samples without answer left out"
)
_NAMES = {"viou": "vIoU", "tiou": "tIoU", "gt_viou": "gt vIoU"}


class Grounding(Task):
    """tIoU, vIoU and gt_vIoU, with the moment taken from the masks and from the text.

    The moment of the masks is the span in which the answer's tracks are visible. A moment in the text is
    ``frames:(first,last)``, both inclusive, counted over the frames that the model saw where the answer's
    ``meta`` lists them under ``sampled_frames``, else over all frames.
    """

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
        Measure("gt_viou_30", "gt vIoU>.3", "share of samples with gt vIoU above 0.3", brief=False),
        Measure("gt_viou_50", "gt vIoU>.5", "share of samples with gt vIoU above 0.5", brief=False),
        Measure("tiou_text", "tIoU text", f"overlap of the moments; {_WRITTEN}", brief=False),
        Measure("viou_text", "vIoU text", f"as vIoU; {_WRITTEN}", brief=False),
        Measure("written", "written", "share of answers that write a moment", brief=False),
        Measure("viou_official", "vIoU official", _THEIRS, brief=False),
        Measure("tiou_official", "tIoU official", _THEIRS, brief=False),
        Measure("gt_viou_official", "gt vIoU official", _THEIRS, brief=False),
        Measure("viou_text_official", "vIoU text official", f"{_THEIRS}; {_WRITTEN}", brief=False),
        Measure("tiou_text_official", "tIoU text official", f"{_THEIRS}; {_WRITTEN}", brief=False),
    )

    def judge(self, answer: GroundedText | None, truth: Truth) -> Judgement:
        """Boxes of the answer's masks against the true tube."""
        if truth.interval is None:
            raise GroundingError(
                "The truth of a grounding sample has no interval.", "Check the data set's reader."
            )
        tracks = () if answer is None else answer.tracks
        written = None if answer is None else _written(answer)
        counts = self._corrected(tracks, truth, truth.interval, written)
        return Judgement(counts | self._official(tracks, truth, truth.interval, written))

    def _corrected(
        self, tracks: tuple[MaskTrack, ...], truth: Truth, moment: Moment, written: Moment | None
    ) -> Counts:
        boxes: dict[int, Box] = {}
        if tracks:
            track = unite(tracks)
            boxes = {frame: box for frame in track.visible() if (box := track.box(frame)) is not None}
        found = (min(boxes), max(boxes) + 1) if boxes else None
        every = range(max(moment[1], len(tracks[0]) if tracks else 0))
        frames = every if truth.annotated is None else truth.annotated
        scores = tube_scores(truth.boxes, moment, boxes, found, frames)
        by_text = tube_scores(truth.boxes, moment, boxes, written, frames)
        flags = {f"{name.replace('@0.', '_')}0": (value, 1.0) for name, value in scores.flags().items()}
        return {
            **{key: (value, 1.0) for key, value in _named(scores).items()},
            **flags,
            "tiou_text": (by_text.tiou, 1.0),
            "viou_text": (by_text.viou, 1.0),
            "written": (float(written is not None), 1.0),
        }

    def _official(
        self, tracks: tuple[MaskTrack, ...], truth: Truth, moment: Moment, written: Moment | None
    ) -> Counts:
        counts: Counts = {f"{key}_official": (0.0, 0.0) for key in (*_NAMES, "viou_text", "tiou_text")}
        if not tracks:
            return counts
        track = tracks[-1]
        visible = track.visible()
        frames = range(len(track)) if truth.annotated is None else truth.annotated
        inside = [frame for frame in frames if moment[0] <= frame < moment[1] and frame < len(track)]
        boxes = {frame: _their_box(track.frames[frame], track.size) for frame in inside}
        inclusive = moment[0], moment[1] - 1
        if visible:
            scores = videoglamm_scores(truth.boxes, inclusive, boxes, (visible[0], visible[-1]), list(frames))
            counts |= {f"{key}_official": (value, 1.0) for key, value in _named(scores).items()}
        if written is not None:
            last = written[0], written[1] - 1
            scores = videoglamm_scores(truth.boxes, inclusive, boxes, last, list(frames))
            counts |= {"viou_text_official": (scores.viou, 1.0), "tiou_text_official": (scores.tiou, 1.0)}
        return counts


def _written(answer: GroundedText) -> Moment | None:
    """The half-open moment in frames of the video that the text names; None if it names none."""
    found = written_interval(answer.text)
    if found is None:
        return None
    first, last = found
    sampled = answer.meta.get(SAMPLED)
    if not sampled:
        return first, last + 1
    start = sampled[min(first, len(sampled) - 1)]
    # A sampled frame stands for all frames up to the next one.
    step = sampled[1] - sampled[0] if len(sampled) > 1 else 1
    end = sampled[last + 1] if last + 1 < len(sampled) else sampled[-1] + step
    return int(start), int(end)


@lru_cache(maxsize=4096)
def _their_box(counts: bytes | None, size: tuple[int, int]) -> Box:
    """Remembered, because several questions about a video often get the same mask."""
    return videoglamm_box(remove_small_blobs(decode(counts, size)))


def _named(scores: TubeScores) -> Mapping[str, float]:
    return {"viou": scores.viou, "tiou": scores.tiou, "gt_viou": scores.gt_viou}
