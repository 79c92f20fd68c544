"""What is scored: a task on a split of a data set, found by name and checked before anything runs."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grounding_core.errors import DataError, GroundingError
from grounding_core.interfaces.dataset import Dataset, GeneratedDataset, Progress, Sample
from grounding_core.paths import cache_dir
from grounding_core.plugins import registry

Preparing = Callable[[str], Progress]
"""Given a label, returns what is told of the progress of making a data set."""


@dataclass(frozen=True)
class Unit:
    """One task on one split of one data set.

    Attributes:
        task, dataset, split: names.
        samples: what is scored, sorted by id: all of the split or the first few.
        whole: all samples of the split.
        data: hash of the whole split's questions and of its manifest.
        licence: of the data.
    """

    task: str
    dataset: str
    split: str
    samples: Sequence[Sample]
    whole: Sequence[Sample]
    data: str
    licence: str

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
    limit: int | None,
    preparing: Preparing,
) -> list[Unit]:
    """Resolve names to samples; makes generated data sets that are not there yet.

    Args:
        tasks: names of tasks.
        datasets: ``name`` or ``name:split``.
        data_root: folder above the data sets; None takes the cache, which only generated ones have.
        limit: score only this many samples of each split.
        preparing: for progress bars.

    Raises:
        GroundingError: a name is unknown, data is missing, or no data set has samples for a task.
    """
    for task in tasks:
        registry().find("task", task)
    units: list[Unit] = []
    for spec in datasets:
        name, _, split = spec.partition(":")
        units += _units_of(name, split, tasks, data_root, limit, preparing)
    for task in tasks:
        if not any(unit.task == task for unit in units):
            raise DataError(
                f"None of {', '.join(datasets)} has samples for the task {task!r}.",
                "Add a data set that has, with --datasets; `grounding plugins` lists them.",
            )
    return units


def _units_of(
    name: str,
    split: str,
    tasks: Sequence[str],
    data_root: Path | None,
    limit: int | None,
    preparing: Preparing,
) -> list[Unit]:
    found: type[Dataset] | type[GeneratedDataset] = registry().load("dataset", name)
    split = split or found.default_split
    if issubclass(found, GeneratedDataset):
        root = _prepared(name, found, split, preparing) if data_root is None else data_root
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
        samples = dataset.samples(task, split if reader_split == "same" else reader_split)
        if not samples:
            raise DataError(f"{name}:{split} has no samples for {task}.", "Check its annotation file.")
        manifest = root / f"{name}-{split}.json"
        units.append(
            Unit(
                task=task,
                dataset=name,
                split=split,
                samples=samples[:limit],
                whole=samples,
                data=_fingerprint(samples, manifest),
                licence=found.licence,
            )
        )
    return units


def _prepared(name: str, found: type[GeneratedDataset], split: str, preparing: Preparing) -> Path:
    if split not in found.splits:
        near = difflib.get_close_matches(split, list(found.splits), 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise DataError(
            f"The data set {name!r} has no split {split!r}.", f"{hint}Splits: {', '.join(found.splits)}."
        )
    root = cache_dir() / "data" / f"{name}-{found.version}"
    if not (root / f"{name}-{split}.json").is_file():
        found().prepare(root, split=split, progress=preparing(f"Making {name} {split}"))
    return root


def _fingerprint(samples: Sequence[Sample], manifest: Path) -> str:
    content = hashlib.sha256(manifest.read_bytes() if manifest.is_file() else b"")
    for sample in samples:
        line = [sample.id, sample.video_id, sample.query.kind, sample.query.text]
        content.update(json.dumps(line).encode())
    return content.hexdigest()[:16]
