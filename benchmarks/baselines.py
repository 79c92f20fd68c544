"""Answers that need no model: what a score is worth shows beside these."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.units import Unit
from grounding_core.interfaces.dataset import Box, Sample, Truth
from grounding_core.masks import MaskTrack, encode
from grounding_core.types import GroundedText, Span
from grounding_core.video import Video, sample_indices

BACKGROUND_FRAMES = 15
MOTION_THRESHOLD = 30.0
"""Largest difference from the background over the colour channels, of 255."""


@dataclass(frozen=True)
class Opened:
    """A video and the mask track that a baseline gives it, if that depends on nothing else."""

    video: Video
    track: MaskTrack | None = None


class Baseline(ABC):
    """The same mask for all questions, whatever they say.

    A caption is borrowed from the next video of the split, with the baseline's mask for every phrase.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"

    def __init__(self, unit: Unit) -> None:
        # Of the whole split, so that a limited run gives the beginning of the whole one.
        self._samples = unit.whole
        self._place = {sample.id: place for place, sample in enumerate(unit.whole)}

    def fingerprint(self) -> dict[str, str]:
        """Name and version; the data is in the key of every store."""
        return {"baseline": self.name, "version": self.version}

    @abstractmethod
    def open(self, sample: Sample) -> Opened:
        """The video, and the mask if all questions share it."""

    def pick(self, opened: Opened, sample: Sample) -> MaskTrack:
        """The mask track for one question."""
        assert opened.track is not None
        return opened.track

    def answer(self, context: Opened, samples: Sequence[Sample]) -> list[GroundedText]:
        """The mask, under the question's own words or a borrowed caption."""
        return [self._answer(sample, self.pick(context, sample)) for sample in samples]

    def _answer(self, sample: Sample, track: MaskTrack) -> GroundedText:
        if sample.query.kind != "describe":
            text = sample.query.text
            return GroundedText(text, (Span(0, len(text), (track.id,)),), (track,))
        caption = self._borrowed(sample)
        spans = tuple(Span(span.start, span.end, (track.id,)) for span in caption.spans)
        return GroundedText(caption.text, spans, (track,))

    def _borrowed(self, sample: Sample) -> GroundedText:
        place = self._place[sample.id]
        for other in (*self._samples[place + 1 :], *self._samples[:place]):
            if other.video_id != sample.video_id:
                return other.load_truth().caption or GroundedText("")
        return GroundedText("")


class WholeFrame(Baseline):
    """Every pixel of every frame."""

    name = "whole frame"

    def open(self, sample: Sample) -> Opened:
        """One mask, repeated."""
        video = sample.open_video()
        return Opened(video, _constant(video, np.ones(video.size, dtype=bool)))


class CentreBox(Baseline):
    """The middle half of width and height in every frame."""

    name = "centre box"

    def open(self, sample: Sample) -> Opened:
        """One mask, repeated."""
        video = sample.open_video()
        height, width = video.size
        mask = np.zeros(video.size, dtype=bool)
        mask[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
        return Opened(video, _constant(video, mask))


class MotionDifference(Baseline):
    """Pixels that differ from the median of frames spread over the video."""

    name = "motion difference"

    def open(self, sample: Sample) -> Opened:
        """Streams the video once."""
        video = sample.open_video()
        spread = sorted(set(sample_indices(len(video), min(BACKGROUND_FRAMES, len(video)))))
        background = np.median(video.frames(spread), axis=0)
        masks = (_moving(frame, background) for _, frame in video.stream())
        return Opened(video, MaskTrack.from_masks(0, masks))


class RandomObject(Baseline):
    """An annotated object of the same video, drawn by the sample's id."""

    name = "random object"

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit)
        self._video: dict[str, list[Sample]] = {}
        for sample in unit.whole:
            self._video.setdefault(sample.video_id, []).append(sample)

    def open(self, sample: Sample) -> Opened:
        """Nothing is shared."""
        return Opened(sample.open_video())

    def pick(self, opened: Opened, sample: Sample) -> MaskTrack:
        """One of the video's distinct objects, asked about or not."""
        objects: dict[tuple[bytes | None, ...], MaskTrack] = {}
        for other in self._video[sample.video_id]:
            for track in _tracks(opened.video, other.load_truth()):
                objects.setdefault(track.frames, track)
        seed = int.from_bytes(hashlib.sha256(sample.id.encode()).digest()[:8], "big")
        return list(objects.values())[int(np.random.default_rng(seed).integers(len(objects)))]


BASELINES: tuple[type[Baseline], ...] = (WholeFrame, CentreBox, MotionDifference, RandomObject)


def _constant(video: Video, mask: npt.NDArray[np.bool_]) -> MaskTrack:
    return MaskTrack(0, video.size, (encode(mask),) * len(video))


def _moving(frame: npt.NDArray[np.uint8], background: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(frame - background).max(axis=-1) > MOTION_THRESHOLD)


def _tracks(video: Video, truth: Truth) -> list[MaskTrack]:
    """The truth's objects; tubes of boxes become tracks of rectangles."""
    if truth.tracks or not truth.boxes:
        return list(truth.tracks)
    return [_rectangles(video, boxes) for boxes in (truth.boxes, *truth.others)]


def _rectangles(video: Video, boxes: Mapping[int, Box]) -> MaskTrack:
    frames: list[bytes | None] = [None] * len(video)
    for frame, (x0, y0, x1, y1) in boxes.items():
        if 0 <= frame < len(frames):
            mask = np.zeros(video.size, dtype=bool)
            mask[round(y0) : round(y1), round(x0) : round(x1)] = True
            frames[frame] = encode(mask)
    return MaskTrack(0, video.size, tuple(frames))
