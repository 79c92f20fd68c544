"""``python -m benchmarks.compare RUN_A RUN_B``: what changed between two runs, sample by sample. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console

from benchmarks.disk import replace_text
from benchmarks.finish import ReportOption, progress, stores
from benchmarks.plan import Plan
from benchmarks.report.browser import MEGABYTES, Answers, Column, Shelf
from benchmarks.report.comparison import markdown, page, show
from benchmarks.scores import MODEL
from benchmarks.stats import Measure, difference, per_sample
from benchmarks.store import key_of
from benchmarks.tasks.base import Task, load_task
from grounding_core.errors import GroundingError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Scored:
    """One task and data set of a run, as ``scores/*.json`` has it."""

    name: str
    content: Mapping[str, Any]

    def counts(self, key: str) -> npt.NDArray[np.float64]:
        """(n, d) of a measure of the model."""
        return np.array(self.content["predictors"][MODEL][key], dtype=np.float64)


@app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(help="A scored run folder.")],
    run_b: Annotated[Path, typer.Argument(help="Another, on the same samples.")],
    threshold: Annotated[
        float, typer.Option(help="A sample flips where its headline value crosses this.")
    ] = 0.5,
    out: Annotated[
        Path | None, typer.Option(help="Folder for comparison.json, .md and .html; default: none is written.")
    ] = None,
    report_mb: ReportOption = MEGABYTES,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Paired differences of every measure, B minus A, with 95 % intervals over videos; flipped samples."""
    try:
        found = comparison(run_a, run_b, threshold)
        if as_json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            show(found, Console())
        if out is not None:
            replace_text(out / "comparison.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
            replace_text(out / "comparison.md", markdown(found))
            place = out / "comparison.html"
            replace_text(place, page(found, _shelves(found, run_a, run_b), report_mb))
            Console(stderr=as_json).print(
                f"\nReport: {place} ({place.stat().st_size / 1e6:.1f} MB)", soft_wrap=True, highlight=False
            )
    except GroundingError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(2) from None


def comparison(run_a: Path, run_b: Path, threshold: float) -> dict[str, Any]:
    """Everything the command shows, of the tasks and data sets that both runs scored.

    Args:
        run_a: a scored run folder.
        run_b: another on the same samples.
        threshold: between failure and success of a sample, on the scale of the headline measure.

    Raises:
        GroundingError: a folder holds no scores, or the runs differ in samples or truth.
    """
    first, second = Plan.read(run_a), Plan.read(run_b)
    scores = [_scores(run_a, first), _scores(run_b, second)]
    shared = [name for name in scores[0] if name in scores[1]]
    if not shared:
        raise GroundingError(
            f"The runs scored different things: {', '.join(scores[0])} against {', '.join(scores[1])}.",
            "They must have a task and a data set in common.",
        )
    return {
        "a": {"model": first.model, "run": str(run_a)},
        "b": {"model": second.model, "run": str(run_b)},
        "threshold": threshold,
        "results": [_compared(scores[0][name], scores[1][name], run_a, threshold) for name in shared],
    }


def _shelves(found: Mapping[str, Any], run_a: Path, run_b: Path) -> dict[str, Shelf]:
    """Label of a result -> its samples with the answers of both runs; none where the data is not at hand."""
    plans = Plan.read(run_a), Plan.read(run_b)
    try:
        with progress(Console(stderr=True)) as bars:
            units = {unit.label: unit for unit in plans[0].units(bars)}
    except GroundingError as missing:
        Console(stderr=True, soft_wrap=True).print(f"No samples are shown: {missing}", markup=False)
        return {}
    shelves = {}
    for number, result in enumerate(found["results"]):
        unit = units.get(result["label"])
        known = {} if unit is None else {sample.id: sample for sample in unit.whole}
        rows = result["samples"]
        if unit is None or any(row["id"] not in known for row in rows):
            raise GroundingError(
                f"{run_a} no longer asks what it was scored on of {result['label']}.",
                f"Score it again: python -m benchmarks.score {run_a}",
            )
        # What was scored, not what is selected: a run that is being prolonged selects more.
        samples = [known[row["id"]] for row in rows]
        kept = [
            stores(run, unit, plan.fingerprint)[MODEL]
            for run, plan in zip((run_a, run_b), plans, strict=True)
        ]
        answers = [
            Answers(f"{letter}: {found[letter.lower()]['model']}", store.predictions(), store.errors())
            for letter, store in zip("AB", kept, strict=True)
        ]
        change = [_minus(row["b"], row["a"]) for row in rows]
        columns = [
            Column("change", f"{result['headline']}, B - A", result["percent"], change),
            Column("a", f"{result['headline']} of A", result["percent"], [row["a"] for row in rows]),
            Column("b", f"{result['headline']} of B", result["percent"], [row["b"] for row in rows]),
        ]
        flips = {row["id"]: word for word in ("gained", "lost") for row in result[word]}
        tags = {sample.id: {**sample.tags, "flipped": flips.get(sample.id, "neither")} for sample in samples}
        shelves[result["label"]] = Shelf(f"r{number}", samples, answers, columns, tags)
    return shelves


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _scores(run: Path, plan: Plan) -> dict[str, Scored]:
    paths = {name: run / "scores" / f"{name}.json" for name in plan.data}
    found = {name: path for name, path in paths.items() if path.is_file()}
    if not found:
        raise GroundingError(f"{run} is not scored.", f"Run: python -m benchmarks.score {run}")
    scored = {name: Scored(name, json.loads(path.read_text("utf-8"))) for name, path in found.items()}
    model = key_of(plan.fingerprint)
    for name, scores in scored.items():
        if scores.content.get("model", model) != model:  # scores of older versions don't say
            raise GroundingError(
                f"The scores of {name} in {run} are of another model than {plan.model}, of which it is now.",
                f"Let its run end, then: python -m benchmarks.score {run}",
            )
    return scored


def _compared(a: Scored, b: Scored, run: Path, threshold: float) -> dict[str, Any]:
    ids: list[str] = a.content["ids"]
    others = set(b.content["ids"])
    if ids != b.content["ids"]:
        alone = [id for id in ids if id not in others] or sorted(others - set(ids))
        raise GroundingError(
            f"The runs have other samples of {a.name}: {len(ids)} against {len(others)}, e.g. {alone[0]} "
            "is in one only.",
            "Run both with the same --limit, --ids and --shuffle-seed.",
        )
    changed = [id for id in ids if a.content["truths"][id] != b.content["truths"][id]]
    if changed:
        raise GroundingError(
            f"The runs were scored against another truth of {a.name}, e.g. of {changed[0]}.",
            "Score both again on the same data: python -m benchmarks.score.",
        )
    task = load_task(a.content["task"], run / "memory")
    both = a.content["predictors"][MODEL].keys() & b.content["predictors"][MODEL].keys()
    shared = [measure for measure in task.all_measures if measure.key in both]
    apart = {measure.key: fact for measure in shared if (fact := _protocols(task, measure.key, a, b))}
    measures = [measure for measure in shared if measure.key not in apart]
    head = next((measure for measure in measures if measure.key == task.headline), None)
    if head is None:
        raise GroundingError(
            f"{task.headline} of {a.name} was judged in one run only, or in another way in each.",
            "Score both again in the same way: python -m benchmarks.score.",
        )
    return {
        "label": a.name,
        "task": a.content["task"],
        "title": task.title,
        "data": f"{a.content['dataset']}:{a.content['split']}",
        "n": len(ids),
        "videos": len(set(a.content["videos"])),
        "headline": head.label,
        "percent": head.percent,
        "measures": [_difference(measure, a, b) for measure in measures],
        "left_out": [
            {"key": measure.key, "label": measure.label, **apart[measure.key]}
            for measure in shared
            if measure.key in apart
        ],
        **_flips(head, a, b, threshold),
        "samples": [
            {"id": id, "a": one, "b": other}
            for id, one, other in zip(
                ids,
                *(per_sample(head, run.counts(head.key)) for run in (a, b)),
                strict=True,
            )
        ],
    }


def _protocols(task: Task, key: str, a: Scored, b: Scored) -> dict[str, str] | None:
    """What a measure rests on, as each run has it; None if it is the same, or older scores don't say."""
    fact = task.rests_on.get(key, "")
    first, second = (run.content.get("protocol", {}).get(fact) for run in (a, b))
    return {"protocol": fact, "a": first, "b": second} if first and second and first != second else None


def _difference(measure: Measure, a: Scored, b: Scored) -> dict[str, Any]:
    first, second = a.counts(measure.key), b.counts(measure.key)
    found = difference(first, second, a.content["videos"], measure.finish)
    values = {
        "a": float(measure.finish(first.sum(axis=0))),
        "b": float(measure.finish(second.sum(axis=0))),
        "difference": found.value,
        "low": found.low,
        "high": found.high,
    }
    # JSON has no NaN.
    finite = {key: value if math.isfinite(value) else None for key, value in values.items()}
    return {"key": measure.key, "label": measure.label, "percent": measure.percent, **finite}


def _flips(head: Measure, a: Scored, b: Scored, threshold: float) -> dict[str, list[dict[str, Any]]]:
    """Samples that fail in one run and succeed in the other, the largest change first."""
    first, second = (np.nan_to_num(head.finish(run.counts(head.key))) for run in (a, b))
    rows = [
        {"id": id, "a": float(before), "b": float(after)}
        for id, before, after in zip(a.content["ids"], first, second, strict=True)
    ]
    gained = [row for row in rows if row["a"] < threshold <= row["b"]]
    lost = [row for row in rows if row["b"] < threshold <= row["a"]]
    return {
        "gained": sorted(gained, key=lambda row: (row["a"] - row["b"], row["id"])),
        "lost": sorted(lost, key=lambda row: (row["b"] - row["a"], row["id"])),
    }


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.compare")
