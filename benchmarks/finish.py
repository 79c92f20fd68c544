"""Score a run folder and write its reports: everything after the predictions. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.baselines import BASELINES
from benchmarks.disk import replace_text
from benchmarks.plan import Plan
from benchmarks.predict import store_for
from benchmarks.predictors import platform_facts
from benchmarks.report.browser import MEGABYTES
from benchmarks.report.build import build
from benchmarks.report.page import page
from benchmarks.report.profile import keep_profile, read_profile
from benchmarks.report.text import markdown, show
from benchmarks.scores import MODEL, UnitScores, score_unit
from benchmarks.store import PredictionStore, key_of
from benchmarks.tasks.base import load_task
from benchmarks.units import Unit
from grounding_core.errors import DataError
from grounding_core.profiling import stage

ReportOption = Annotated[
    int, typer.Option("--report-mb", min=1, help="Room for the samples' films in report.html, in MB.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of tables.")]


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
    folder: Path,
    plan: Plan,
    units: Sequence[Unit],
    bars: Progress,
    console: Console,
    megabytes: int = MEGABYTES,
    as_json: bool = False,
) -> dict[str, Any]:
    """Score all units, write scores and reports, and print the tables.

    Args:
        folder: the run folder.
        plan: what it is about.
        units: as `Plan.units` found them.
        bars: where progress is shown.
        console: where the tables go.
        megabytes: room for films and masks in report.html.
        as_json: print the report as JSON instead of tables.
    """
    with stage("scoring"):
        scores = [_score(folder, plan, unit, bars) for unit in units if unit.truth]
    model = key_of(plan.fingerprint)
    keep_profile(folder, model)
    for unit in scores:
        _same_truth(folder, unit)
    report = build(plan.model, plan.fingerprint, platform_facts(), scores, read_profile(folder, model))
    for unit in scores:
        replace_text(_table_path(folder, unit.unit), _table(unit, model))
    replace_text(folder / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    replace_text(folder / "report.md", markdown(report))
    place = folder / "report.html"
    filming = bars.add_task("Filming samples", total=None)
    replace_text(place, page(report, scores, megabytes))
    bars.update(filming, total=1, completed=1)
    bars.stop()
    if as_json:
        print(json.dumps(report, indent=1, ensure_ascii=False))
        return report
    show(report, console)
    console.print(f"\nReport: {place} ({place.stat().st_size / 1e6:.1f} MB)", soft_wrap=True, highlight=False)
    for hidden in (unit for unit in units if not unit.truth):
        console.print(
            f"{hidden.dataset}:{hidden.split} has no public truth and is not scored. Hand it in: python -m "
            f"benchmarks.submission export {folder} --dataset {hidden.dataset}:{hidden.split} "
            "--format ... --out ...",
            soft_wrap=True,
            highlight=False,
        )
    return report


def _score(folder: Path, plan: Plan, unit: Unit, bars: Progress) -> UnitScores:
    bar = bars.add_task(f"Scoring {unit.task} {unit.dataset}:{unit.split}", total=len(unit.samples))
    task = load_task(unit.task, folder / "memory", plan.text_similarity)
    # Baselines that were never run, as beside imported predictions, are left out.
    found = stores(folder, unit, plan.fingerprint).items()
    there = {name: store for name, store in found if name == MODEL or store.path.is_file()}
    return score_unit(unit, task, there, lambda: bars.advance(bar))


def _table_path(folder: Path, unit: Unit) -> Path:
    return folder / "scores" / f"{unit.label}.json"


def _same_truth(folder: Path, scores: UnitScores) -> None:
    """Refuse to mix scores against one truth with a report on another."""
    path = _table_path(folder, scores.unit)
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as handle:
        before = json.loads(handle.readline().removesuffix(f", {_COUNTS}") + "}")["truths"]
    changed = next((id for id, now in scores.truths.items() if before.get(id, now) != now), None)
    if changed is not None:
        raise DataError(
            f"The truth of {changed} ({scores.unit.dataset}:{scores.unit.split}) has changed since {folder} "
            "was scored.",
            f"Restore the data set; or delete {path.parent} to score against what is there now.",
        )


_COUNTS = '"predictors": {\n'
"""Ends the first line of a table; what precedes it can be read without the counts."""


def _table(scores: UnitScores, model: str) -> Iterator[str]:
    """Counts of every sample as one JSON object, for comparisons and other programs; a measure at a time."""
    unit = scores.unit
    head = {
        "task": unit.task,
        "model": model,
        "dataset": unit.dataset,
        "split": unit.split,
        "protocol": scores.task.protocol,
        "truths": dict(scores.truths),
        "ids": [sample.id for sample in unit.samples],
        "videos": [sample.drawn_as for sample in unit.samples],
    }
    yield f"{json.dumps(head)[:-1]}, {_COUNTS}"
    for place, (name, found) in enumerate(scores.predictors.items()):
        yield f"{', ' if place else ''}{json.dumps(name)}: {{\n"
        for number, (key, counts) in enumerate(found.counts.items()):
            yield f"{', ' if number else ''}{json.dumps(key)}: {json.dumps(counts.tolist())}\n"
        yield "}\n"
    yield "}}\n"
