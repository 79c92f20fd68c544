"""Frame selectors: which frames of a video the encoders see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from grounding_core.interfaces.component import Configured
from grounding_core.types import Query
from grounding_core.video import Video, sample_indices


class FrameSelector(Configured, ABC):
    """Construct with the validated config alone. Never part of a model's weights.

    Class attributes:
        uses_query: whether the choice depends on the question; then each question is encoded by itself.
    """

    uses_query: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def select(self, video: Video, query: Query | None, count: int) -> list[int]:
        """Indices of ``count`` frames in the order of time; a shorter video repeats some.

        Args:
            video: to choose from.
            query: the question; None where it is not known yet.
            count: how many frames the encoders take.
        """


class Uniform(FrameSelector):
    """Evenly spread, first and last included: what a recipe without a selector does."""

    def select(self, video: Video, query: Query | None, count: int) -> list[int]:
        return sample_indices(len(video), count)
