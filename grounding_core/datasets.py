"""What is there of a data set and what is missing, found through the readers' interface. No torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from grounding_core.errors import DataError, GroundingError
from grounding_core.interfaces.dataset import Dataset, GeneratedDataset, Part, Progress, Published
from grounding_core.paths import cache_dir
from grounding_core.plugins import registry

TRUTHS_READ = 16
"""How many samples of a split have their truth read by a check, evenly spread."""

FAULTS_KEPT = 5
"""How many faults of a kind are told; the rest is counted."""


@dataclass(frozen=True)
class FoundPart:
    """A part and how many bytes of it are there; None where it is missing."""

    part: Part
    size: int | None


@dataclass(frozen=True)
class SplitReport:
    """What a check found of one task's split.

    Attributes:
        task, split: what was checked.
        parts: files and folders, with their sizes.
        published: what the publisher counts.
        videos, samples: what was counted here; None where the annotations can't be read.
        readable: of the videos, how many open with all their frames.
        faults: what is wrong, each on one line.
    """

    task: str
    split: str
    parts: Sequence[FoundPart]
    published: Published
    videos: int | None = None
    samples: int | None = None
    readable: int = 0
    faults: Sequence[str] = field(default_factory=tuple)

    @property
    def complete(self) -> bool:
        """Whether everything that scoring or training on the split needs is there."""
        return not self.faults and all(part.size is not None for part in self.parts)

    @property
    def differences(self) -> list[str]:
        """Counts that are not the published ones."""
        pairs = {
            "videos": (self.videos, self.published.videos),
            "samples": (self.samples, self.published.samples),
        }
        return [
            f"{found:,} {name} instead of the published {stated:,}"
            for name, (found, stated) in pairs.items()
            if found is not None and stated is not None and found != stated
        ]


def cached_root(name: str, found: type[GeneratedDataset]) -> Path:
    """Where a generated data set is kept that was not asked for elsewhere."""
    return cache_dir() / "data" / f"{name}-{found.version}"


def splits_of(found: type[Dataset] | type[GeneratedDataset]) -> Mapping[str, Published]:
    """The splits of a data set with what is published about them."""
    if issubclass(found, GeneratedDataset):
        return {split: Published(videos=videos) for split, videos in found.splits.items()}
    return found.splits


def known_split(name: str, found: type[Dataset] | type[GeneratedDataset], split: str | None) -> str:
    """The split asked for, or the default.

    Raises:
        DataError: the data set has no such split.
    """
    split = split or found.default_split
    if found.splits and split not in found.splits:
        near = difflib.get_close_matches(split, list(found.splits), 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise DataError(
            f"The data set {name!r} has no split {split!r}.", f"{hint}Splits: {', '.join(found.splits)}."
        )
    return split


def check(name: str, split: str, root: Path, progress: Progress | None = None) -> list[SplitReport]:
    """Look at a split of an installed data set, once for each of its tasks.

    Args:
        name: of the data set.
        split: one of its splits.
        root: folder above the data sets.
        progress: told as videos are opened.

    Raises:
        PluginError: there is no such data set.
    """
    found: type[Dataset] | type[GeneratedDataset] = registry().load("dataset", name)
    stated = splits_of(found).get(split, Published())
    if not issubclass(found, GeneratedDataset):
        return [_check(found(root), task, split, stated, progress) for task in found.tasks]
    making = f"`grounding data prepare {name} --split {split} --out {root}`"
    reports = []
    for task, reading in found.readings.items():
        reader: type[Dataset] = registry().load("dataset", reading.reader)
        theirs = split if reading.split == "same" else reading.split
        report = _check(reader(root), task, theirs, stated, progress)
        # A layout may have room for more than a generated set fills: what reads well is whole.
        whole = report.samples is not None and not report.faults
        parts = [part for part in report.parts if part.size is not None or not whole]
        made = [replace(part, part=replace(part.part, source=making)) for part in parts]
        reports.append(replace(report, parts=made))
    return reports


def _check(
    dataset: Dataset, task: str, split: str, stated: Published, progress: Progress | None
) -> SplitReport:
    parts = [FoundPart(part, _size(dataset.root / part.path)) for part in dataset.parts(split)]
    try:
        samples = dataset.samples(task, split)
    except GroundingError as error:
        return SplitReport(task, split, parts, stated, faults=[str(error)])
    videos = {sample.video_id: sample for sample in samples}
    unopened = []
    for done, (video, sample) in enumerate(videos.items(), start=1):
        try:
            sample.open_video()
        except GroundingError as error:
            unopened.append(f"{video}: {error}")
        if progress is not None:
            progress(done, len(videos))
    spread = samples[:: -(-len(samples) // TRUTHS_READ)] if samples and stated.truth else []
    unread = []
    for sample in spread:
        try:
            sample.load_truth()
        except GroundingError as error:
            unread.append(f"{sample.id}: {error}")
    return SplitReport(
        task=task,
        split=split,
        parts=parts,
        published=stated,
        videos=len(videos),
        samples=len(samples),
        readable=len(videos) - len(unopened),
        faults=[
            *_told(unopened, f"of {len(videos)} videos can't be opened"),
            *_told(unread, f"of {len(spread)} samples looked at have no readable truth"),
        ],
    )


def _told(faults: Sequence[str], what: str) -> list[str]:
    return [f"{len(faults)} {what}.", *faults[:FAULTS_KEPT]] if faults else []


def _size(path: Path) -> int | None:
    """Bytes of a file, or of all files below a folder; an empty folder counts as missing."""
    if path.is_file():
        return path.stat().st_size
    sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()] if path.is_dir() else []
    return sum(sizes) if sizes else None
