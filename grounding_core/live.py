"""Frames as they arrive: a source without an end, and what is known at each of its frames."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Condition, Thread
from typing import Any, Protocol

import numpy as np

from grounding_core.errors import VideoError
from grounding_core.identities import Seen, match, phrases
from grounding_core.masks import MaskTrack, encode
from grounding_core.types import GroundedText, Query, Span
from grounding_core.video import Video, sample_indices
from grounding_core.video.readers import Frame

REMEMBERED = 60
"""Askings for which an object that is away keeps its id: about a minute of a camera with 30 frames a second
that is asked every 32. Each one remembered is compared with each new one, so it can't be all."""


@dataclass(frozen=True)
class Arrival:
    """A frame of a source: its number there, and when it came (``time.monotonic``)."""

    index: int
    at: float
    frame: Frame


@dataclass(frozen=True)
class Step:
    """What a model says at one frame of a stream.

    Attributes:
        index: the frame's number in the source, dropped ones counted.
        frame: its pixels, uint8 (H, W, 3).
        answer: text, spans and tracks as they are now; each track has this one frame, and its id stays the
            object's until it has been away for ``REMEMBERED`` askings. No other object gets it then.
        asked: the number of the frame at which the question was last asked.
        delay: seconds from the frame's arrival to this step.
    """

    index: int
    frame: Frame
    answer: GroundedText
    asked: int
    delay: float


def arrivals(frames: Iterable[Any], *, drop: bool) -> Iterator[Arrival]:
    """A source's frames with their arrival.

    Args:
        frames: uint8 (H, W, 3) each, all of one size.
        drop: read in a thread and hand out the newest frame only, so that a slow consumer stays up to date.

    Raises:
        VideoError: something else than such a frame comes.
    """
    numbered = (Arrival(index, time.monotonic(), frame) for index, frame in enumerate(_checked(frames)))
    return _newest(numbered) if drop else numbered


def _checked(frames: Iterable[Any]) -> Iterator[Frame]:
    shape: tuple[int, ...] | None = None
    for frame in frames:
        # A copy: frames are kept for the next asking, and many cameras write all of theirs to one place.
        array = np.array(frame, order="C")
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
            raise VideoError(
                f"A frame of shape {array.shape} and type {array.dtype} came.", "Pass uint8 RGB (H, W, 3)."
            )
        if array.shape != (shape or array.shape):
            raise VideoError(f"The frames change from {shape} to {array.shape}.", "Resize them to one size.")
        shape = array.shape
        yield array


def _newest(items: Iterator[Arrival]) -> Iterator[Arrival]:
    ready = Condition()
    box: list[Arrival] = []
    ended: list[BaseException | None] = []
    stopped: list[bool] = []

    def read() -> None:
        failure: BaseException | None = None
        try:
            for item in items:
                with ready:
                    box[:] = [item]
                    ready.notify()
                if stopped:
                    return
        # Whatever it is, it belongs to the consumer.
        except BaseException as error:  # noqa: BLE001
            failure = error
        with ready:
            ended.append(failure)
            ready.notify()

    Thread(target=read, name="live frames", daemon=True).start()
    try:
        while True:
            with ready:
                ready.wait_for(lambda: box or ended)
                if not box:
                    if ended[0] is not None:
                        raise ended[0]
                    return
                item = box.pop()
            yield item
    finally:
        stopped.append(True)


class Points(Protocol):
    """What a model must do for `LiveAnswers`; a composed one does."""

    mask_decoder: Any
    sampling: Any

    def point(self, video: Video, query: Query) -> tuple[GroundedText, Any]:
        """An answer whose tracks are still empty, and the prompts behind them."""


class LiveAnswers:
    """A question about a stream, asked again every so many frames; masks in between.

    Args:
        model: who answers.
        query: the question.
        every: frames from one asking to the next.
        window: frames that the encoders' sample is drawn from.
    """

    def __init__(self, model: Points, query: Query, *, every: int, window: int) -> None:
        if every < 1 or window < 1:
            raise VideoError(f"every={every} and window={window} can't be.", "Use at least 1.")
        self._model = model
        self._query = query
        self._every = every
        self._recent: deque[Frame] = deque(maxlen=window)
        self._count = 0
        self._asked = 0
        self._answer = GroundedText("")
        self._ids: list[int] = []
        self._known: dict[int, Seen] = {}
        self._named: dict[int, int] = {}  # id -> the last asking whose answer had it
        self._askings = 0
        self._next_id = 0
        self._reader: LiveReader | None = None
        self._logits: Iterator[Any] = iter(())

    def step(self, arrival: Arrival) -> Step:
        """Take in a frame, and say what is where in it."""
        self._recent.append(arrival.frame)
        asks = self._count % self._every == 0
        self._count += 1
        if asks:
            self._ask(arrival)
        elif self._reader is not None:
            self._reader.put(arrival.frame)
        masks = self._masks()
        size = (int(arrival.frame.shape[0]), int(arrival.frame.shape[1]))
        if asks:
            self._recognise(masks, size)
        for id, mask in zip(self._ids, masks, strict=True):
            self._known[id] = Seen(self._known[id].phrase, (mask,), mask or self._known[id].last)
        tracks = tuple(MaskTrack(id, size, (mask,)) for id, mask in zip(self._ids, masks, strict=True))
        spans = tuple(
            Span(span.start, span.end, tuple(self._ids[place] for place in span.tracks))
            for span in self._answer.spans
        )
        answer = GroundedText(self._answer.text, spans, tracks)
        return Step(arrival.index, arrival.frame, answer, self._asked, time.monotonic() - arrival.at)

    def _ask(self, arrival: Arrival) -> None:
        recent = list(self._recent)
        sample = [recent[index] for index in sample_indices(len(recent), self._model.sampling.frames)]
        seen = np.stack(sample if len(recent) > 1 else sample[:1])
        self._answer, prompts = self._model.point(Video.open(seen), self._query)
        self._asked = arrival.index
        self._reader, self._logits = None, iter(())
        if len(prompts):
            self._reader = LiveReader(arrival.frame, self._every)
            decoder = self._model.mask_decoder
            self._logits = decoder.track(decoder.open(self._reader.video()), prompts)

    def _masks(self) -> list[bytes | None]:
        if self._reader is None:
            return []
        return [encode(mask) for mask in (next(self._logits) > 0).cpu().numpy()]

    def _recognise(self, masks: list[bytes | None], size: tuple[int, int]) -> None:
        """Give the objects of a new answer the ids that they had before."""
        named = phrases(self._answer)
        new = [Seen(named[place], (mask,), mask) for place, mask in enumerate(masks)]
        away = set(self._known) - set(self._ids)
        known = {id: Seen(s.phrase, (None,), s.last) if id in away else s for id, s in self._known.items()}
        self._ids = []
        for seen, id in zip(new, match(known, new, size), strict=True):
            if id is None:
                id, self._next_id = self._next_id, self._next_id + 1
                self._known[id] = seen
            self._ids.append(id)
        self._askings += 1
        self._named |= dict.fromkeys(self._ids, self._askings)
        for id in [id for id, at in self._named.items() if self._askings - at > REMEMBERED]:
            del self._known[id], self._named[id]


class LiveReader:
    """A reader of frames that are still to come; they are put in by hand, one at a time.

    Args:
        first: the first frame, from which the size is known.
        count: how many there will be at most.
    """

    live = True

    def __init__(self, first: Frame, count: int) -> None:
        self.size = (int(first.shape[0]), int(first.shape[1]))
        self.timestamps = np.arange(count, dtype=np.float64)
        self.files: Sequence[Path] = ()
        self._coming: Queue[Frame] = Queue()
        self._coming.put(first)

    def put(self, frame: Frame) -> None:
        """The next frame."""
        self._coming.put(frame)

    def frames(self, indices: Any) -> Frame:
        raise VideoError("A live video has no frames to go back to.", "Take them as they come.")

    def stream(self, start: int, stop: int) -> Iterator[Frame]:
        """Frames in the order in which they were put in."""
        for _ in range(start, stop):
            yield self._coming.get()

    def video(self) -> Video:
        """The video that is to come."""
        return Video(self, name="live", source="live frames", start=0, stop=len(self.timestamps))
