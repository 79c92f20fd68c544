"""Training items: videos by position; what is drawn for one depends on that and the seed alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
from torch.utils.data import Dataset as TorchDataset

from grounding_core.errors import DataError, VideoError
from grounding_core.interfaces.dataset import Sample
from grounding_core.training.data import Position

Item = TypeVar("Item")


class VideoItems(TorchDataset[Item | str], Generic[Item]):
    """Items by (epoch, index of the video); a run that is resumed gets the same ones."""

    def __init__(self, groups: Sequence[Sequence[Sample]], seed: int) -> None:
        """Args:
        groups: the samples of each video.
        seed: of all that is drawn.
        """
        self.groups, self.seed = groups, seed

    def __getitem__(self, position: Position) -> Item | str:
        """The item, or one line that says why this video can't be used."""
        epoch, index = position
        try:
            return self.load(index, np.random.default_rng((self.seed, epoch, index)))
        except (VideoError, DataError) as error:
            return f"{self.groups[index][0].id}: {error}"

    @abstractmethod
    def load(self, index: int, rng: np.random.Generator) -> Item:
        """The item of a video.

        Raises:
            VideoError, DataError: it can't be used.
        """


def draw_frames(rng: np.random.Generator, length: int, count: int) -> list[int]:
    """Indices of ``count`` frames in order; a video with fewer gives some of them more than once."""
    return sorted(np.resize(rng.permutation(length)[:count], count).tolist())
