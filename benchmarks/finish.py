"""Score a run folder and write its reports: everything after the predictions. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.baselines import BASELINES
from benchmarks.disk import replace_text
from benchmarks.predict import store_for
from benchmarks.predictors import platform_facts
from benchmarks.report.build import build
from benchmarks.report.page import page
from benchmarks.report.text import markdown, show
from benchmarks.scores import MODEL, UnitScores, score_unit
from benchmarks.store import PredictionStore
from benchmarks.tasks.base import load_task
from benchmarks.units import Unit, find_units
from grounding_core.errors import GroundingError

PLAN = "run.json"


@dataclass(frozen=True)
class Plan:
    """What a run folder is about; kept in ``run.json`` so that it can be scored again without the model."""

    model: str
    fingerprint: Mapping[str, str]
    tasks: Sequence[str]
    datasets: Sequence[str]
    data_root: str | None
    limit: int | None

    def write(self, folder: Path) -> None:
        """Keep the plan in the run folder."""
        replace_text(folder / PLAN, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan of a run folder.

        Raises:
            GroundingError: the folder holds no run.
        """
        try:
            return cls(**json.loads((folder / PLAN).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise GroundingError(
                f"{folder} holds no run: {PLAN} can't be read ({error}).",
                "Name a folder made by benchmarks.run.",
            ) from error

    def units(self, bars: Progress) -> list[Unit]:
        """The samples to score."""
        root = None if self.data_root is None else Path(self.data_root)

        def preparing(label: str) -> Any:
            bar = bars.add_task(label, total=None)
            return lambda done, total: bars.update(bar, completed=done, total=total)

        return find_units(self.tasks, self.datasets, data_root=root, limit=self.limit, preparing=preparing)


def progress(console: Console) -> Progress:
    """Bars with the time that is left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console)


def stores(folder: Path, unit: Unit, model: Mapping[str, str]) -> dict[str, PredictionStore]:
    """The stores of a unit by predictor, the model's first."""
    home = folder / "predictions"
    found = {MODEL: store_for(unit, MODEL, model, home)}
    for baseline in BASELINES:
        found[baseline.name] = store_for(unit, baseline.name, baseline(unit).fingerprint(), home)
    return found


def finish(
    folder: Path, plan: Plan, units: Sequence[Unit], bars: Progress, console: Console
) -> dict[str, Any]:
    """Score all units, write scores and reports, and print the tables.

    Args:
        folder: the run folder.
        plan: what it is about.
        units: as :meth:`Plan.units` found them.
        bars: where progress is shown.
        console: where the tables go.
    """
    scores = [_score(folder, plan, unit, bars) for unit in units]
    report = build(plan.model, plan.fingerprint, platform_facts(), scores)
    for unit in scores:
        replace_text(folder / "scores" / f"{unit.unit.label}.json", json.dumps(_table(unit)))
    replace_text(folder / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    replace_text(folder / "report.md", markdown(report))
    replace_text(folder / "report.html", page(report, scores))
    bars.stop()
    show(report, console)
    return report


def _score(folder: Path, plan: Plan, unit: Unit, bars: Progress) -> UnitScores:
    bar = bars.add_task(f"Scoring {unit.task} {unit.dataset}:{unit.split}", total=len(unit.samples))
    task = load_task(unit.task, folder / "memory")
    return score_unit(unit, task, stores(folder, unit, plan.fingerprint), lambda: bars.advance(bar))


def _table(scores: UnitScores) -> dict[str, Any]:
    """Counts of every sample, for other programs."""
    return {
        "ids": [sample.id for sample in scores.unit.samples],
        "videos": [sample.video_id for sample in scores.unit.samples],
        "predictors": {
            name: {key: counts.tolist() for key, counts in found.counts.items()}
            for name, found in scores.predictors.items()
        },
    }
