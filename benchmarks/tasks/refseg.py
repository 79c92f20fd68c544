"""Referring segmentation: the mask track of what an expression names."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.metrics.refseg import frame_scores
from benchmarks.stats import Measure
from benchmarks.tasks.base import Judgement, Task, fitting
from grounding_core.interfaces.dataset import Truth
from grounding_core.masks import MaskTrack, unite
from grounding_core.types import GroundedText


class ReferringSegmentation(Task):
    """J, F and J&F: mean over an expression's annotated frames, then over expressions (as MeViS does)."""

    name: ClassVar[str] = "refseg"
    title: ClassVar[str] = "Referring segmentation"
    headline: ClassVar[str] = "jf"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("jf", "J&F", "mean of J and F"),
        Measure("j", "J", "region IoU (DAVIS 2017)"),
        Measure("f", "F", "boundary F-measure (DAVIS 2017, tolerance 0.008 of the diagonal)"),
        Measure("j50", "J>0.5", "share of expressions whose mean J is above 0.5"),
    )

    def judge(self, answer: GroundedText | None, truth: Truth) -> Judgement:
        """All tracks of the answer together against the union of the true objects."""
        if answer is None:
            return Judgement(dict.fromkeys(("jf", "j", "f", "j50"), (0.0, 1.0)))
        (target,) = truth.tracks
        fitting(answer.tracks, target)
        found = unite(answer.tracks) if answer.tracks else None
        frames = range(len(target)) if truth.annotated is None else truth.annotated
        pairs = [_frame(target, found, frame) for frame in frames]
        j, f = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
        return Judgement(
            {"jf": ((j + f) / 2, 1.0), "j": (j, 1.0), "f": (f, 1.0), "j50": (float(j > 0.5), 1.0)}
        )


def _frame(truth: MaskTrack, found: MaskTrack | None, frame: int) -> tuple[float, float]:
    predicted = None if found is None else found.frames[frame]
    if predicted == truth.frames[frame]:
        return 1.0, 1.0
    empty = MaskTrack(0, truth.size, (None,))
    return frame_scores(truth.mask(frame), empty.mask(0) if found is None else found.mask(frame))
