"""The interface of a task: judge one answer against its truth, in counts that add up over samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.stats import Measure
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Truth
from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText

Counts = dict[str, tuple[float, ...]]
"""Measure -> counts of one sample, for :attr:`benchmarks.stats.Measure.finish`."""

TextPair = tuple[str, str]
"""Candidate and reference caption."""


@dataclass(frozen=True)
class Judgement:
    """One answer judged. ``texts`` are kept for metrics of a whole corpus."""

    counts: Counts
    texts: TextPair | None = None


class Task(ABC):
    """A task. Plugins add more under kind ``task``.

    Class attributes:
        name, title: what commands and people call it.
        headline: the measure by which best and worst samples are chosen.
        measures: all numbers it can give, in the order of the tables.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    headline: ClassVar[str]
    measures: ClassVar[tuple[Measure, ...]]

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.protocol: dict[str, str] = {}
        """Facts that must travel with the numbers."""
        self.notes: list[str] = []
        """What was not computed, and why."""

    @abstractmethod
    def judge(self, answer: GroundedText | None, truth: Truth) -> Judgement:
        """Counts of one sample; ``answer`` None is a miss and counts as wrong.

        Raises:
            GroundingError: the answer does not fit the video, e.g. masks of another size.
        """

    def judge_texts(
        self, texts: Mapping[str, Sequence[TextPair]]
    ) -> Mapping[str, Mapping[str, npt.NDArray[np.float64]]]:
        """Measures of whole corpora: for each predictor, measure -> counts (n, d) in the order given."""
        return {}


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
