"""Boxes over time: which frames of a file a sample shows, which are scored, and its truth on them.

A split named ``<split>-<protocol>`` (``test-tubedetr``) is read under a published frame sampling; the
protocols are in ``tube_protocols.json``. Without one, every frame is shown and scored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from benchmarks.metrics.grounding import sampled_frames
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Box, Published, Truth
from grounding_core.video import Video

Moment = tuple[int, int]
"""Frames [start, end)."""


@dataclass(frozen=True)
class Protocol:
    """A published frame sampling.

    Attributes:
        fps, frames: sampling rate, and the most frames taken.
        shows: the model is shown the sample's whole clip, or nothing but the true moment.
        only_sampled: the model is shown the sampled frames alone; else all, and the sampled ones are scored.
        source: the file it was read from.
        hcstvg_questions: folder of ``<number>.json`` with a question (``Q``) to ask in place of the sentence.
    """

    fps: float
    frames: int
    shows: Literal["clip", "moment"]
    only_sampled: bool
    source: str
    hcstvg_questions: str | None = None


@cache
def protocols() -> dict[str, Protocol]:
    """All published samplings, by name."""
    path = Path(__file__).with_name("tube_protocols.json")
    return {name: Protocol(**facts) for name, facts in json.loads(path.read_text(encoding="utf-8")).items()}


def with_protocols(splits: Mapping[str, Published]) -> Mapping[str, Published]:
    """The splits, and each under each published sampling."""
    return {
        **splits,
        **{
            f"{split}-{name}": replace(facts, note=protocol.source)
            for split, facts in splits.items()
            for name, protocol in protocols().items()
        },
    }


def protocol_of(split: str) -> tuple[str, Protocol | None]:
    """``test-tubedetr`` -> (``test``, its protocol); without a protocol's name, None.

    Raises:
        DataError: no protocol of that name is known.
    """
    base, _, name = split.partition("-")
    if not name:
        return base, None
    if name not in protocols():
        raise DataError(
            f"There is no frame sampling {name!r} (split {split!r}).",
            f"Use {base}, or {base}- followed by one of {', '.join(protocols())}.",
        )
    return base, protocols()[name]


def sampled(start: int, stop: int, fps: float, protocol: Protocol) -> tuple[int, ...]:
    """Frames of [start, stop) that a protocol takes, as TubeDETR's loaders choose them.

    Args:
        start: first frame of the file.
        stop: frame of the file after the last.
        fps: the file's frame rate; a rate below the protocol's takes every frame.
        protocol: the sampling.
    """
    return tuple(sampled_frames(start, stop, max(fps, protocol.fps), protocol.fps, protocol.frames))


@dataclass(frozen=True)
class View:
    """The frames of a file that a sample shows.

    Attributes:
        frames: of the file, in order; a range where nothing is left out.
        scored: places in ``frames`` that are scored; None scores all.
    """

    frames: Sequence[int]
    scored: tuple[int, ...] | None = None

    @classmethod
    def of(cls, clip: Moment, moment: Moment, fps: float, protocol: Protocol | None) -> View:
        """A sample's view.

        Args:
            clip: frames of the file that belong to the sample.
            moment: frames of the file in which the statement holds.
            fps: frame rate of the file.
            protocol: None shows and scores the whole clip.
        """
        if protocol is None:
            return cls(range(*clip))
        start, stop = clip if protocol.shows == "clip" else moment
        taken = set(sampled(start, stop, fps, protocol))
        if not any(moment[0] <= frame < moment[1] for frame in taken):
            # A moment between two sampled frames would leave nothing to score.
            taken.add(moment[0])
        if protocol.only_sampled:
            return cls(tuple(sorted(taken)))
        return cls(range(start, stop), tuple(sorted(frame - start for frame in taken)))

    @property
    def label(self) -> str:
        """The same for views of the same frames."""
        if isinstance(self.frames, range):
            return f"[{self.frames.start}:{self.frames.stop}]"
        return str(list(self.frames))

    def open(self, path: Path, source: str) -> Video:
        """The video of these frames.

        Annotations sometimes count a frame more than the file holds: the file's last one stands in for it.

        Raises:
            DataError: the file is missing.
        """
        if not path.is_file():
            raise DataError(f"The video {path} is missing.", f"Get it from {source}.")
        video = Video.open(path)
        if not isinstance(self.frames, range):
            return video.pick([min(frame, len(video) - 1) for frame in self.frames])
        start, stop = self.frames.start, self.frames.stop
        if stop > len(video):
            return video.pick([min(frame, len(video) - 1) for frame in self.frames])
        return video if (start, stop) == (0, len(video)) else video.clip(start, stop)

    def truth(self, boxes: Mapping[int, Box], moment: Moment, others: Sequence[Mapping[int, Box]]) -> Truth:
        """Truth on these frames.

        Args:
            boxes: the target's, by frame of the file; those outside the moment are left out.
            moment: frames of the file in which the statement holds.
            others: boxes of the clip's other objects.

        Raises:
            ValueError: the moment has no frame in this view, or the target no box in the moment.
        """
        inside = [place for place, frame in enumerate(self.frames) if moment[0] <= frame < moment[1]]
        if not inside:
            raise ValueError(f"its moment {moment} has no frame in the clip")
        target = {place: boxes[self.frames[place]] for place in inside if self.frames[place] in boxes}
        if not target:
            raise ValueError(f"its target has no box in the moment {moment}")
        return Truth(
            boxes=target,
            interval=(inside[0], inside[-1] + 1),
            others=[
                {place: tube[frame] for place, frame in enumerate(self.frames) if frame in tube}
                for tube in others
            ],
            annotated=self.scored,
        )


def corners(xywh: Sequence[float]) -> Box:
    """x, y, width, height to (x0, y0, x1, y1).

    Raises:
        ValueError: it does not hold four numbers.
    """
    x, y, width, height = (float(value) for value in xywh)
    return x, y, x + width, y + height
