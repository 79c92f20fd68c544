"""What a run folder is about: enough to score it again without the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.progress import Progress

from benchmarks.disk import replace_text
from benchmarks.metrics.text_similarity import DEFAULT
from benchmarks.selection import Selection
from benchmarks.units import Unit, find_units
from grounding_core.errors import DataError, GroundingError

PLAN = "run.json"


@dataclass(frozen=True)
class Plan:
    """What a run folder is about; kept in ``run.json``.

    Attributes:
        model: name of who answers.
        fingerprint: what shapes its answers.
        tasks, datasets, data_root, selection: what is asked, as the command line named it.
        data: hash of each unit's data.
        text_similarity: how phrases are compared: ``name`` or ``name:source``.
    """

    model: str
    fingerprint: Mapping[str, str]
    tasks: Sequence[str]
    datasets: Sequence[str]
    data_root: str | None
    selection: Selection
    data: Mapping[str, str]
    text_similarity: str = DEFAULT

    @classmethod
    def of(
        cls,
        model: str,
        fingerprint: Mapping[str, str],
        tasks: Sequence[str],
        datasets: Sequence[str],
        data_root: Path | None,
        selection: Selection,
        bars: Progress,
        text_similarity: str = DEFAULT,
    ) -> tuple[Plan, list[Unit]]:
        """A new plan, and the samples it is about."""
        root = None if data_root is None else str(data_root.absolute())
        plan = cls(model, fingerprint, tasks, datasets, root, selection, {}, text_similarity)
        units = plan._find(bars)
        return replace(plan, data={unit.label: unit.data for unit in units}), units

    def begin(self, folder: Path) -> None:
        """Keep the plan in the run folder.

        Raises:
            DataError: the folder holds a run on data that has changed since.
        """
        if (folder / PLAN).is_file():
            Plan.read(folder)._check(self.data)
        replace_text(folder / PLAN, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan of a run folder.

        Raises:
            GroundingError: the folder holds no run.
        """
        try:
            content = json.loads((folder / PLAN).read_text(encoding="utf-8"))
            selection = content["selection"]
            selection["ids"] = tuple(selection["ids"])
            return cls(**{**content, "selection": Selection(**selection)})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise GroundingError(
                f"{folder} holds no run: {PLAN} can't be read ({error}).",
                "Name a folder made by benchmarks.run.",
            ) from error

    def units(self, bars: Progress) -> list[Unit]:
        """The samples to score.

        Raises:
            GroundingError: a data set is missing, or is not the one that the run was begun with.
        """
        found = self._find(bars)
        self._check({unit.label: unit.data for unit in found})
        return found

    def _check(self, data: Mapping[str, str]) -> None:
        """Compare the hashes of the data as it is now with those that the run was begun with."""
        for label, now in data.items():
            if self.data.get(label, now) != now:
                raise DataError(
                    f"The data set of {label} has changed since this run was begun.",
                    "Restore it, or name another --out to start anew.",
                )

    def _find(self, bars: Progress) -> list[Unit]:
        root = None if self.data_root is None else Path(self.data_root)

        def preparing(label: str) -> Any:
            bar = bars.add_task(label, total=None)
            return lambda done, total: bars.update(bar, completed=done, total=total)

        return find_units(
            self.tasks, self.datasets, data_root=root, selection=self.selection, preparing=preparing
        )
