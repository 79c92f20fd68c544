"""Training items: videos by position; what is drawn for one depends on that and the seed alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from grounding_core.errors import DataError, VideoError
from grounding_core.interfaces.dataset import Sample, Truth
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


def draw_frames(rng: np.random.Generator, frames: Sequence[int], count: int) -> list[int]:
    """``count`` of the frames in order; where there are fewer, some of them more than once."""
    places = np.resize(rng.permutation(len(frames))[:count], count).tolist()
    return sorted(frames[place] for place in places)


def check_one_size(frames: Iterable[Tensor]) -> None:
    """Videos (t, H, W, 3) of a batch that are read as one.

    Raises:
        DataError: their sizes differ.
    """
    sizes = {tuple(own.shape) for own in frames}
    if len(sizes) > 1:
        raise DataError(f"Videos of sizes {sorted(sizes)} meet in one batch.", "Set training.videos to 1.")


def annotated_frames(truths: Iterable[Truth], length: int) -> Sequence[int]:
    """The frames of a video of that length about which any of its truths says something, in order.

    Raises:
        DataError: there are none.
    """
    known: set[int] = set()
    for truth in truths:
        if truth.annotated is None:
            return range(length)
        known.update(truth.annotated)
    if not known:
        raise DataError("none of its frames is annotated.", "Leave it out.")
    return sorted(known)
