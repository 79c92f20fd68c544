"""What all questions about a video share in a mask decoder: image features, kept within a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from grounding_core.video import Video


class ImageFeatures(Protocol):
    """Features of some frames: a tensor whose first dimension counts them, or a class of a decoder's own."""

    @property
    def nbytes(self) -> int:
        """Memory they take."""

    def __len__(self) -> int:
        """How many frames."""


F = TypeVar("F", bound=ImageFeatures)


@dataclass
class Scene(Generic[F]):
    """A video and the image features kept for its further questions: those of its first frames."""

    video: Video
    kept: list[F] = field(default_factory=list)

    def stream(
        self, features: Callable[[Tensor], F], *, batch: int, budget_mb: int, start: int = 0
    ) -> Iterator[F]:
        """Features of all frames from ``start`` in order; the video's first ones are kept.

        Args:
            features: of uint8 frames (t, H, W, 3).
            batch: frames whose features are computed together.
            budget_mb: memory for features that are kept; frames beyond it are computed again each time.
            start: the first frame; batches that begin before it are skipped or computed anew from it.
        """
        done = 0
        for batch_kept in list(self.kept):
            if done >= start:
                yield batch_kept
            elif done + len(batch_kept) > start:
                break
            done += len(batch_kept)
        done = max(done, start)
        pending: list[Tensor] = []
        for index, frame in self.video.stream(done):
            pending.append(torch.tensor(frame))  # a copy: frames may be read-only
            if len(pending) == batch or index == len(self.video) - 1:
                found = features(torch.stack(pending))
                pending = []
                if self._frames == done and self._bytes + found.nbytes <= budget_mb * 2**20:
                    self.kept.append(found)
                done += len(found)
                yield found

    @property
    def _frames(self) -> int:
        return sum(len(batch) for batch in self.kept)

    @property
    def _bytes(self) -> int:
        return sum(batch.nbytes for batch in self.kept)
