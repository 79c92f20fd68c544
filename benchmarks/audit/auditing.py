"""Runs the audit: which sets there are, one video after the other, all checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.audit.findings import Audited, Fault
from benchmarks.audit.looks import Looks, look
from benchmarks.audit.looks import faults as faults_of_looks
from benchmarks.audit.misfits import Misfits
from benchmarks.audit.texts import links, names, twins
from benchmarks.audit.tracks import (
    Subject,
    boxes_outside,
    duplicates,
    empty,
    fragmenting,
    jumping,
    jumping_boxes,
)
from benchmarks.image_text import ImageText
from grounding_core.datasets import known_split
from grounding_core.errors import DataError, GroundingError, VideoError
from grounding_core.interfaces.dataset import Dataset, GeneratedDataset, Progress, Sample, Truth
from grounding_core.plugins import registry
from grounding_core.video import Video


@dataclass(frozen=True)
class Questions:
    """The samples of one task's split.

    Attributes:
        dataset: as the user named it.
        split, task: which.
        samples: all of them.
    """

    dataset: str
    split: str
    task: str
    samples: Sequence[Sample]


def named(name: str, split: str | None, root: Path) -> list[Questions]:
    """The samples of a data set by its name, once for each of its tasks.

    Raises:
        GroundingError: there is no such data set or split, or its annotations can't be read.
    """
    found: type[Dataset] | type[GeneratedDataset] = registry().load("dataset", name)
    chosen = known_split(name, found, split)
    if not issubclass(found, GeneratedDataset):
        return [Questions(name, chosen, task, found(root).samples(task, chosen)) for task in found.tasks]
    questions = []
    for task, reading in found.readings.items():
        reader: type[Dataset] = registry().load("dataset", reading.reader)
        theirs = chosen if reading.split == "same" else reading.split
        questions.append(Questions(name, chosen, task, reader(root).samples(task, theirs)))
    return questions


def below(root: Path) -> list[Questions]:
    """The samples of every split whose annotations lie below a folder, found through the installed readers.

    Raises:
        DataError: there are none.
        GroundingError: annotations that are there can't be read.
    """
    questions = []
    for name in registry().names("dataset"):
        found = registry().load("dataset", name)
        if issubclass(found, GeneratedDataset):
            continue
        seen: set[str] = set()
        for split in found.splits:
            parts = found(root).parts(split)
            # Splits that are views of the same annotations are one set.
            if not parts or parts[0].path in seen or not (root / parts[0].path).exists():
                continue
            seen.add(parts[0].path)
            questions += named(name, split, root)
    if not questions:
        raise DataError(
            f"No installed reader finds its annotations below {root}.",
            "Name the folder above the data sets (`grounding data list`), or a data set by its name.",
        )
    return questions


def audit(
    questions: Sequence[Questions],
    *,
    videos: int | None = None,
    progress: Progress | None = None,
    image_text: ImageText | None = None,
) -> list[Audited]:
    """Look at every sample.

    Args:
        questions: from `named` or `below`.
        videos: at most so many of each split; None looks at all.
        progress: told as videos are finished.
        image_text: compares phrases with what is seen of their objects; None leaves that out.
    """
    jobs: list[tuple[Questions, str, list[Sample]]] = []
    for asked in questions:
        groups: dict[str, list[Sample]] = {}
        for sample in asked.samples:
            groups.setdefault(sample.video_id, []).append(sample)
        jobs += [(asked, video, group) for video, group in list(groups.items())[:videos]]
    audited: list[Audited] = []
    collected: dict[str, _Captions] = {}
    fits: dict[int, Misfits] = {}
    for done, (asked, video, group) in enumerate(jobs, start=1):
        if image_text is not None and id(asked) not in fits:
            fits[id(asked)] = Misfits(image_text, asked.samples)
        seen = _Seen(group, fits.get(id(asked)))
        for sample in group:
            faults = tuple(seen.faults.get(sample.id, ()))
            audited.append(Audited(asked.dataset, asked.split, asked.task, sample.id, video, faults))
        kept = collected.setdefault(asked.task, _Captions())
        if seen.thumbnails is not None:
            kept.thumbnails[video] = seen.thumbnails
            if seen.captions:
                kept.captions[video] = seen.captions[0]
        if progress is not None:
            progress(done, len(jobs))
    return [_sorted(one) for one in _with_twins(audited, collected)]


@dataclass
class _Captions:
    """What is needed of all videos at once, by video."""

    thumbnails: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)


class _Seen:
    """The faults of one video's samples.

    Args:
        group: questions about one video.
        misfits: looks for phrases that do not fit; None leaves that out.
    """

    def __init__(self, group: Sequence[Sample], misfits: Misfits | None = None) -> None:
        self._misfits = misfits
        self.faults: dict[str, list[Fault]] = {sample.id: [] for sample in group}
        self.captions: list[str] = []
        self.thumbnails: npt.NDArray[np.float64] | None = None
        video = self._open(group)
        truths = dict(self._truths(group))
        self._read = [(sample, truths[sample.id]) for sample in group if sample.id in truths]
        subjects: dict[str, list[Subject]] = {}
        for sample in group:
            truth = truths.get(sample.id)
            if truth is not None:
                subjects[sample.id] = self._shapes(sample, truth, video)
        distinct = {
            subject.track.frames: subject
            for found in subjects.values()
            for subject in found
            if subject.visible
        }
        for id, found in subjects.items():
            for subject in found:
                self.faults[id] += fragmenting(subject, list(distinct.values()))
        if video is not None:
            self._pictures(video, list(distinct.values()), subjects)

    def _open(self, group: Sequence[Sample]) -> Video | None:
        try:
            return group[0].open_video()
        except GroundingError as error:
            self._for_all(Fault("undecodable", 1.0, f"The video does not open: {error}"))
            return None

    def _for_all(self, fault: Fault) -> None:
        for kept in self.faults.values():
            kept.append(fault)

    def _truths(self, group: Sequence[Sample]) -> Iterator[tuple[str, Truth]]:
        for sample in group:
            try:
                yield sample.id, sample.load_truth()
            except GroundingError as error:
                self.faults[sample.id].append(Fault("unreadable-truth", 1.0, str(error)))

    def _shapes(self, sample: Sample, truth: Truth, video: Video | None) -> list[Subject]:
        """Check what needs no pictures; the tracks that fit the video are returned."""
        kept = self.faults[sample.id]
        called = {track.id: sample.query.text for track in truth.tracks}
        if truth.caption is not None:
            called |= names(truth.caption)
            # An answer may be that there is no such thing.
            if truth.caption.spans or sample.query.kind == "describe":
                kept += links(truth, truth.caption)
            self.captions.append(truth.caption.text)
        if video is not None:
            kept += _box_faults(truth, video)
        subjects = []
        for track in truth.tracks:
            if video is not None and (track.size, len(track)) != (video.size, len(video)):
                reason = (
                    f"“{called[track.id]}” has {len(track)} masks of {track.size[1]}x{track.size[0]}, "
                    f"its video {len(video)} frames of {video.size[1]}x{video.size[0]}."
                )
                kept.append(Fault("unreadable-truth", 1.0, reason, (), (track.id,)))
                continue
            frames = range(len(track)) if truth.annotated is None else truth.annotated
            subjects.append(Subject(track, called[track.id], tuple(f for f in frames if f < len(track))))
        # Some expressions are meant to name nothing.
        if "nonexistent" not in sample.tags.values():
            for subject in subjects:
                kept += empty(subject)
        for subject in subjects:
            kept += jumping(subject)
        if truth.caption is not None:
            kept += duplicates(subjects)
        return subjects

    def _pictures(
        self, video: Video, distinct: Sequence[Subject], subjects: Mapping[str, Sequence[Subject]]
    ) -> None:
        """Decode the video once for all questions; equal tracks are looked at once."""
        places = {subject.track.frames: place for place, subject in enumerate(distinct)}
        try:
            looks: Looks = look(video, distinct)
        except VideoError as error:
            self._for_all(Fault("undecodable", 1.0, f"A frame does not decode: {error}"))
            return
        self.thumbnails = looks.thumbnails
        found = faults_of_looks(distinct, looks)
        for id, kept in self.faults.items():
            for subject in subjects.get(id, ()):
                for fault in found.get(places.get(subject.track.frames, -1), ()):
                    known = [other for other in kept if other.kind == fault.kind == "identity-swap"]
                    if not any(set(other.tracks) == set(fault.tracks) for other in known):
                        kept.append(fault)
            self.faults[id] = _explained(kept)
        if self._misfits is not None:
            for sample, truth in self._read:
                fitting = {subject.track.id for subject in subjects[sample.id]}
                self.faults[sample.id] += self._misfits.of(sample, truth, video, fitting)


def _box_faults(truth: Truth, video: Video) -> Iterator[Fault]:
    yield from boxes_outside(truth.boxes, video.size, len(video), "The object")
    for boxes in truth.others:
        yield from boxes_outside(boxes, video.size, len(video), "Another object")
    inside = sorted(frame for frame in truth.boxes if 0 <= frame < len(video))
    if inside:
        every = range(inside[0], inside[-1] + 1)
        yield from jumping_boxes(truth.boxes, every if truth.annotated is None else truth.annotated)


def _explained(faults: Sequence[Fault]) -> list[Fault]:
    """Without leaps that another fault of the same track explains."""
    causes = [f for f in faults if f.kind in ("identity-swap", "frozen-mask", "longer-than-visible")]

    def explained(leap: Fault) -> bool:
        return any(
            set(leap.tracks) & set(cause.tracks)
            and min(cause.frames) - 1 <= min(leap.frames)
            and max(leap.frames) <= max(cause.frames) + 1
            for cause in causes
        )

    return [fault for fault in faults if fault.kind != "jumping-mask" or not explained(fault)]


def _with_twins(audited: Sequence[Audited], collected: Mapping[str, _Captions]) -> Iterator[Audited]:
    found: dict[tuple[str, str], list[Fault]] = {}
    for task, kept in collected.items():
        for video, fault in twins(kept.thumbnails, kept.captions):
            found.setdefault((task, video), []).append(fault)
    for one in audited:
        yield replace(one, faults=(*one.faults, *found.get((one.task, one.video), ())))


def _sorted(one: Audited) -> Audited:
    return replace(one, faults=tuple(sorted(one.faults, key=lambda fault: -fault.severity)))
