"""Data sets: samples with lazy videos and lazy truth. No torch here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from grounding_core.errors import DataError
from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText, Query
from grounding_core.video import Video

TaskName = str
"""``refseg``, ``grounding`` or ``gcg``; plugins may add more."""

Box = tuple[float, float, float, float]
Progress = Callable[[int, int], None]
"""Called with (done, total)."""


@dataclass(frozen=True)
class Truth:
    """What the annotators said about one sample.

    Attributes:
        tracks: refseg: one track, the union of the referred objects; gcg: one track an object.
        caption: gcg: the reference caption, its spans over ``tracks``.
        boxes: grounding: frame index -> box (x0, y0, x1, y1) in pixels, edges exclusive.
        interval: grounding: frames [start, end) in which the statement holds.
        others: boxes of each other object that the video's annotations hold (grounding: not asked for; gcg:
            not named by the caption), where a set has them.
        annotated: frames that carry truth; None means every frame. Frames outside are not scored.
        ignored: refseg: pixels that are not scored (DAVIS's void, ReasonSeg's ignored regions).
        foreground: refseg: every object of the video together, where a set has it (ReVOS, for robustness).
    """

    tracks: tuple[MaskTrack, ...] = ()
    caption: GroundedText | None = None
    boxes: Mapping[int, Box] = field(default_factory=dict)
    others: Sequence[Mapping[int, Box]] = ()
    interval: tuple[int, int] | None = None
    annotated: tuple[int, ...] | None = None
    ignored: MaskTrack | None = None
    foreground: MaskTrack | None = None


@dataclass(frozen=True)
class Sample:
    """One question about one video, with its truth read on demand.

    Attributes:
        id: unique within (data set, split, task), stable over runs; sorting key.
        video_id: samples with the same value share a video, which is then encoded once.
        query: the question.
        open_video: opens the video; reads its index, not its frames.
        load_truth: reads the truth.
        tags: facts for breakdowns, e.g. ``{"kind": "motion", "qtype": "declarative"}``.
        recording: the video that this one is cut from, where ``video_id`` names a part of it: parts of one
            recording are no independent evidence.
        frame_names: what submissions call the frames, one a frame; empty means ``00000``, ``00001``, …
    """

    id: str
    video_id: str
    query: Query
    open_video: Callable[[], Video] = field(repr=False, compare=False)
    load_truth: Callable[[], Truth] = field(repr=False, compare=False)
    tags: Mapping[str, str] = field(default_factory=dict)
    frame_names: Sequence[str] = field(default=(), repr=False, compare=False)
    recording: str = ""

    @property
    def drawn_as(self) -> str:
        """Samples with the same value are drawn together where a mean's interval is estimated."""
        return self.recording or self.video_id


@dataclass(frozen=True)
class Published:
    """How much a split holds according to who published it; None where nobody says.

    Attributes:
        videos: distinct videos (or images).
        samples: questions about them.
        truth: whether the truth is public; without it a split can be predicted and handed in, not scored.
        note: what is special about the split.
    """

    videos: int | None = None
    samples: int | None = None
    truth: bool = True
    note: str = ""


@dataclass(frozen=True)
class Part:
    """A file or folder that a split needs below the data root.

    Attributes:
        path: relative to the data root.
        holds: what is in it: "expressions", "masks", "frames" ...
        source: the address it comes from, or the command that makes it.
    """

    path: str
    holds: str
    source: str


class Dataset(ABC):
    """A reader of one on-disk layout below a data root.

    Class attributes:
        tasks: the tasks it has samples for.
        default_split: the split scored when none is named.
        licence: licence of the data, and where to get it.
        splits: the splits there are, with what their publishers counted.
    """

    tasks: ClassVar[tuple[TaskName, ...]]
    default_split: ClassVar[str]
    licence: ClassVar[str]
    splits: ClassVar[Mapping[str, Published]] = {}

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    @abstractmethod
    def samples(self, task: TaskName, split: str) -> Sequence[Sample]:
        """Samples of a split, sorted by id.

        Raises:
            DataError: a file is missing or malformed; names the file and where to get it.
        """

    def parts(self, split: str) -> Sequence[Part]:
        """What must be below the root for a split, annotations first."""
        return ()

    def prepare(self, split: str, *, decoder: str | None = None, progress: Progress | None = None) -> None:
        """Convert what was downloaded to what `samples` reads; what is there already is kept.

        Args:
            split: one of ``splits``.
            decoder: name of the mask decoder that turns boxes into masks, for sets that need masks.
            progress: told as videos are finished.

        Raises:
            DataError: the set is read as it is published, or something it is made from is missing.
        """
        raise DataError(
            f"The data set {type(self).__name__} is read as it is published: there is nothing to prepare.",
            "Download it; `grounding data check` says where.",
        )


@dataclass(frozen=True)
class Reading:
    """Which reader reads a generated data set for a task."""

    reader: str
    split: Literal["same"] | str = "same"


class GeneratedDataset(ABC):
    """A data set that a plugin makes on this machine, in layouts that registered readers read.

    Class attributes:
        readings: task -> the reader of its layout.
        splits: split -> default number of videos.
    """

    readings: ClassVar[Mapping[TaskName, Reading]]
    splits: ClassVar[Mapping[str, int]]
    default_split: ClassVar[str]
    licence: ClassVar[str]
    version: ClassVar[str]
    """Changes when the same seed gives other data, so that caches are not mixed."""

    @abstractmethod
    def prepare(
        self,
        out: Path,
        *,
        split: str,
        seed: int | None = None,
        videos: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write a split below ``out`` atomically (a rerun never trusts half of it).

        Args:
            out: data root to write below.
            split: one of ``splits``.
            seed: None takes the split's own fixed seed; the same seed gives the same annotations.
            videos: how many; None takes the split's default.
            progress: told as videos are finished.
        """
