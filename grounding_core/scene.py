"""What all questions about a video share in a mask decoder: image features, kept within a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from grounding_core.profiling import stage, staged
from grounding_core.video import Video
from grounding_core.video.ahead import ahead_map

KEPT_FRAMES = 1000
"""Most frames whose features are kept, however small they are: a long video takes no more memory."""


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
        self,
        features: Callable[[Tensor], F],
        *,
        batch: int,
        budget_mb: int,
        start: int = 0,
        prepare: Callable[[Tensor], Tensor] = lambda frames: frames,
    ) -> Iterator[F]:
        """Features of all frames from ``start`` in order; the video's first ones are kept.

        Threads decode and prepare the next frames while the features of earlier ones are computed. A live
        video goes frame by frame, and none are kept.

        Args:
            features: of what ``prepare`` gives.
            batch: frames whose features are computed together.
            budget_mb: memory for features that are kept; frames beyond it are computed again each time.
            start: the first frame; batches that begin before it are skipped or computed anew from it.
            prepare: what becomes of a uint8 frame (1, H, W, 3) in a thread, e.g. resizing.
        """
        done = 0
        for batch_kept in list(self.kept):
            if done >= start:
                yield batch_kept
            elif done + len(batch_kept) > start:
                break
            done += len(batch_kept)
        done = max(done, start)
        if done == len(self.video):
            return
        live = self.video.live
        # Frame by frame: to copy whole frames into a batch costs more than the batch saves in resizing.
        frames = one_by_one(self.video, done)
        prepared = map(prepare, frames) if live else ahead_map(prepare, frames, size=batch)
        for pixels in staged("decode", _batches(prepared, 1 if live else batch)):
            with stage("image features"):
                found = features(pixels)
            if not live and self._frames == done and self._fits(found, budget_mb):
                self.kept.append(found)
            done += len(found)
            yield found

    def _fits(self, found: F, budget_mb: int) -> bool:
        frames, bytes_ = self._frames + len(found), sum(batch.nbytes for batch in self.kept) + found.nbytes
        return frames <= KEPT_FRAMES and bytes_ <= budget_mb * 2**20

    @property
    def _frames(self) -> int:
        return sum(len(batch) for batch in self.kept)


def one_by_one(video: Video, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
    """Frames [start, stop) as uint8 tensors (1, H, W, 3)."""
    for _, frame in video.stream(start, stop):
        # Some readers give arrays that can't be written to, which PyTorch warns of.
        yield torch.from_numpy(np.require(frame, requirements="W"))[None]


def _batches(frames: Iterable[Tensor], batch: int) -> Iterator[Tensor]:
    """Tensors (1, ...) joined to (batch, ...), the last perhaps to fewer."""
    coming = iter(frames)
    while pending := list(islice(coming, batch)):
        yield torch.cat(pending)
