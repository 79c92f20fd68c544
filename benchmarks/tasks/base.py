"""The interface of a task: judge one answer against its truth, in counts that add up over samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.metrics.text_similarity import DEFAULT
from benchmarks.stats import Measure
from grounding_core.errors import GroundingError, PluginError
from grounding_core.interfaces.dataset import Truth
from grounding_core.masks import MaskTrack
from grounding_core.plugins import registry
from grounding_core.types import GroundedText

Counts = dict[str, tuple[float, ...]]
"""Measure -> counts of one sample, for `benchmarks.stats.Measure.finish`."""

TextPair = tuple[str, str]
"""Candidate and reference caption."""


@dataclass(frozen=True)
class Judgement:
    """One answer judged. ``texts`` are kept for metrics of a whole corpus."""

    counts: Counts
    texts: TextPair | None = None


class Metric(ABC):
    """Further measures of a task, from a plugin (kind ``metric``); judged beside the task's own.

    Class attributes:
        task: name of the task.
        measures: the numbers it gives; their keys are new to the task.
    """

    task: ClassVar[str]
    measures: ClassVar[tuple[Measure, ...]]

    @abstractmethod
    def judge(self, answer: GroundedText | None, truth: Truth) -> Counts:
        """Counts of one sample for each of its measures; ``answer`` None is a miss and counts as wrong."""


class Task(ABC):
    """A task. Plugins add more under kind ``task``.

    Class attributes:
        name, title: what commands and people call it.
        headline: the measure by which best and worst samples are chosen.
        measures: all numbers it can give, in the order of the tables.
        needs_tracking: True if a mask decoder that takes each frame by itself can't solve it.

    Args:
        workspace: folder in which it may keep what is costly to compute.
        text_similarity: how phrases are compared, where the task does that.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    headline: ClassVar[str]
    measures: ClassVar[tuple[Measure, ...]]
    needs_tracking: ClassVar[bool] = False

    def __init__(self, workspace: Path, text_similarity: str = DEFAULT) -> None:
        self.workspace = workspace
        self.text_similarity = text_similarity
        self.protocol: dict[str, str] = {}
        """Facts that must travel with the numbers."""
        self.rests_on: dict[str, str] = {}
        """Measure -> fact of the protocol without which its number can't be compared with another run's."""
        self.notes: list[str] = []
        """What was not computed, and why."""
        self.metrics: list[Metric] = []
        """What installed plugins measure besides."""

    @property
    def all_measures(self) -> tuple[Measure, ...]:
        """The task's own measures, then those of plugins."""
        return (*self.measures, *(measure for metric in self.metrics for measure in metric.measures))

    def score(self, answer: GroundedText | None, truth: Truth) -> Judgement:
        """`judge`, with the counts of the plugins' metrics added.

        Raises:
            GroundingError: as `judge`.
        """
        judged = self.judge(answer, truth)
        if not self.metrics:
            return judged
        more = [metric.judge(answer, truth) for metric in self.metrics]
        return replace(
            judged, counts={key: value for one in (judged.counts, *more) for key, value in one.items()}
        )

    @abstractmethod
    def judge(self, answer: GroundedText | None, truth: Truth) -> Judgement:
        """Counts of one sample; ``answer`` None is a miss and counts as wrong.

        Raises:
            GroundingError: the answer does not fit the video, e.g. masks of another size.
        """

    def judge_video(
        self,
        tags: Sequence[Mapping[str, str]],
        truths: Sequence[Truth],
        answers: Sequence[GroundedText | None],
    ) -> Sequence[Counts]:
        """Counts of measures that need all answers about one video; a row a sample, all with the same keys.

        Args:
            tags: of the samples of one video.
            truths: of these samples.
            answers: to these samples; one that does not fit its truth is None.
        """
        return [{} for _ in answers]

    def combine(
        self, tags: Sequence[Mapping[str, str]], counts: Mapping[str, npt.NDArray[np.float64]]
    ) -> Mapping[str, npt.NDArray[np.float64]]:
        """Measures made of those of all samples, such as a mean of means: measure -> counts (n, d).

        Args:
            tags: of the n samples.
            counts: what was judged so far, measure -> (n, d).
        """
        return {}

    def judge_texts(
        self, texts: Mapping[str, Sequence[TextPair]]
    ) -> Mapping[str, Mapping[str, npt.NDArray[np.float64]]]:
        """Measures of whole corpora: for each predictor, measure -> counts (n, d) in the order given."""
        return {}


def load_task(name: str, workspace: Path, text_similarity: str = DEFAULT) -> Task:
    """A task with every installed metric that measures it.

    Args:
        name: of the task.
        workspace: folder in which it may keep what is costly to compute.
        text_similarity: how phrases are compared, where the task does that: ``name`` or ``name:source``.

    Raises:
        PluginError: the task is unknown, or a metric can't be loaded or takes another's key.
    """
    task: Task = registry().load("task", name)(workspace, text_similarity)
    for other in registry().names("metric"):
        metric: type[Metric] = registry().load("metric", other)
        if metric.task != name:
            continue
        taken = {measure.key for measure in task.all_measures} & {measure.key for measure in metric.measures}
        if taken:
            raise PluginError(
                f"The metric {other!r} gives {', '.join(sorted(taken))}, which {name} has already.",
                "Have its measures renamed.",
            )
        task.metrics.append(metric())
        offer = registry().find("metric", other)
        fact = f"metric {other}"
        task.protocol[fact] = f"{offer.distribution} {offer.version}"
        task.rests_on |= {measure.key: fact for measure in metric.measures}
    return task


def fitting(tracks: Sequence[MaskTrack], like: MaskTrack) -> None:
    """Check that predicted tracks have the truth's size and length.

    Raises:
        GroundingError: they differ.
    """
    for track in tracks:
        if (track.size, len(track)) != (like.size, len(like)):
            raise GroundingError(
                f"Track {track.id} has {len(track)} frames of {track.size}, "
                f"the truth {len(like)} of {like.size}.",
                "A model must answer with masks of the video's own size, one a frame.",
            )
