"""What is scored: a task on a split of a data set, found by name and checked before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.selection import Selection
from grounding_core.datasets import cached_root, known_split
from grounding_core.errors import DataError, GroundingError
from grounding_core.interfaces.dataset import Dataset, GeneratedDataset, Progress, Sample
from grounding_core.plugins import registry

Preparing = Callable[[str], Progress]
"""Given a label, returns what is told of the progress of making a data set."""


ALL = Selection()


@dataclass(frozen=True)
class Unit:
    """One task on one split of one data set.

    Attributes:
        task, dataset, split: names.
        samples: what is scored, sorted by id: all of the split or a selection.
        whole: all samples of the split.
        data: hash of the whole split's questions and of its manifest.
        licence: of the data.
        truth: whether the truth is public; without it answers can be handed in, not scored.
    """

    task: str
    dataset: str
    split: str
    samples: Sequence[Sample]
    whole: Sequence[Sample]
    data: str
    licence: str
    truth: bool

    @property
    def label(self) -> str:
        """For file names: task.dataset.split."""
        return f"{self.task}.{self.dataset}.{self.split}"


def names(text: str, what: str) -> list[str]:
    """The items of a comma-separated option, each once.

    Raises:
        GroundingError: there is none.
    """
    found = list(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))
    if not found:
        raise GroundingError(f"No {what} is named.", f"Name at least one {what}.")
    return found


def find_units(
    tasks: Sequence[str],
    datasets: Sequence[str],
    *,
    data_root: Path | None,
    selection: Selection = ALL,
    preparing: Preparing,
    every: bool = True,
) -> list[Unit]:
    """Resolve names to samples; makes generated data sets that are not there yet.

    Args:
        tasks: names of tasks.
        datasets: ``name`` or ``name:split``.
        data_root: folder above the data sets; generated ones that are not there are made in the cache.
        selection: which samples of each split are scored.
        preparing: for progress bars.
        every: whether each task must have samples; else one of them suffices.

    Raises:
        GroundingError: a name or id is unknown, data is missing, or no data set has samples for a task.
    """
    for task in tasks:
        registry().find("task", task)
    units: list[Unit] = []
    for name, split in dict.fromkeys(_named(spec) for spec in datasets):
        units += _units_of(name, split, tasks, data_root, preparing)
    for task in tasks:
        if not any(unit.task == task for unit in units) and (every or not units):
            raise DataError(
                f"None of {', '.join(datasets)} has samples for the task {task!r}.",
                "Name a data set that has, or another task; `grounding plugins` lists both.",
            )
    return _select(units, selection)


def by_source(units: Sequence[Unit]) -> dict[tuple[str, str], list[Sample]]:
    """(data set, task) -> samples of all its units, as training takes them."""
    found: dict[tuple[str, str], list[Sample]] = {}
    for unit in units:
        found.setdefault((unit.dataset, unit.task), []).extend(unit.samples)
    return found


def _select(units: Sequence[Unit], selection: Selection) -> list[Unit]:
    known = {sample.id for unit in units for sample in unit.whole}
    unknown = [id for id in selection.ids if id not in known]
    if unknown:
        raise DataError(
            f"None of the data sets has a sample {unknown[0]!r}.",
            f"Its ids look like {units[0].whole[0].id!r}.",
        )
    chosen = [replace(unit, samples=selection.of(unit.whole)) for unit in units]
    return [unit for unit in chosen if unit.samples]


def _named(spec: str) -> tuple[str, str]:
    """Data set and split of ``name`` or ``name:split``."""
    name, _, split = spec.partition(":")
    found: type[Dataset] | type[GeneratedDataset] = registry().load("dataset", name)
    return name, split or found.default_split


def _units_of(
    name: str,
    split: str,
    tasks: Sequence[str],
    data_root: Path | None,
    preparing: Preparing,
) -> list[Unit]:
    found: type[Dataset] | type[GeneratedDataset] = registry().load("dataset", name)
    if issubclass(found, GeneratedDataset):
        root = _generated(name, found, split, data_root, preparing)
        readers = {task: (reading.reader, reading.split) for task, reading in found.readings.items()}
    elif data_root is None:
        raise DataError(
            f"The data set {name!r} is read from disk.",
            f"Name the folder above it with --data-root. {found.licence}",
        )
    else:
        root, readers = data_root, dict.fromkeys(found.tasks, (name, "same"))
    units = []
    for task in tasks:
        if task not in readers:
            continue
        reader, reader_split = readers[task]
        dataset: Dataset = registry().load("dataset", reader)(root)
        read = split if reader_split == "same" else reader_split
        samples = dataset.samples(task, read)
        published = dataset.splits.get(read)
        if not samples:
            raise DataError(f"{name}:{split} has no samples for {task}.", "Check its annotation file.")
        manifest = root / f"{name}-{split}.json"
        units.append(
            Unit(
                task=task,
                dataset=name,
                split=split,
                samples=samples,
                whole=samples,
                data=_fingerprint(samples, manifest),
                licence=found.licence,
                truth=published is None or published.truth or _has_truth(samples[0]),
            )
        )
    return units


def _has_truth(sample: Sample) -> bool:
    """Whether truth that its publisher keeps is there all the same."""
    try:
        sample.load_truth()
    except GroundingError:
        return False
    return True


def _generated(
    name: str, found: type[GeneratedDataset], split: str, data_root: Path | None, preparing: Preparing
) -> Path:
    """Where a generated data set lies: below the data root if it was made there, else in the cache."""
    if data_root is not None and not data_root.is_dir():
        raise DataError(f"There is no folder {data_root}.", "Check --data-root.")
    if data_root is not None and (data_root / f"{name}-{split}.json").is_file():
        return data_root
    known_split(name, found, split)
    root = cached_root(name, found)
    if not (root / f"{name}-{split}.json").is_file():
        found().prepare(root, split=split, progress=preparing(f"Making {name} {split}"))
    return root


def _fingerprint(samples: Sequence[Sample], manifest: Path) -> str:
    content = hashlib.sha256(manifest.read_bytes() if manifest.is_file() else b"")
    for sample in samples:
        line = [sample.id, sample.video_id, sample.query.kind, sample.query.text]
        content.update(json.dumps(line).encode())
    return content.hexdigest()[:16]
