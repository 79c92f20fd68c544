"""``python -m benchmarks.run``: predict, score, report. The same command again goes on where it stopped."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.engine import Engine, How, begin, predict_missing
from benchmarks.finish import JsonOption, ReportOption, finish, progress
from benchmarks.launched import Crew
from benchmarks.lock import locked
from benchmarks.metrics.text_similarity import DEFAULT, load_similarity
from benchmarks.plan import Plan
from benchmarks.predictors import RecipePredictor
from benchmarks.report.browser import MEGABYTES
from benchmarks.scores import MODEL
from benchmarks.selection import Selection, read_ids
from benchmarks.store import key_of
from benchmarks.units import Unit, names
from grounding_core import DEFAULT_RECIPE
from grounding_core.cli.options import SetOption
from grounding_core.config import Recipe
from grounding_core.errors import DataError, GroundingError
from grounding_core.profiling import profiled

WRONG_USE = 2
INTERRUPTED = 130

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    tasks: Annotated[
        str, typer.Option(help="Comma-separated: gcg, grounding, refseg.")
    ] = "gcg,grounding,refseg",
    recipe: Annotated[
        str, typer.Option(help="Name of an installed recipe, or a YAML file.")
    ] = DEFAULT_RECIPE,
    datasets: Annotated[str, typer.Option(help="Comma-separated; NAME or NAME:SPLIT.")] = "sprites",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many samples of each split.")] = None,
    ids: Annotated[
        str | None, typer.Option(help="Only these samples: comma-separated ids, or a file with one a line.")
    ] = None,
    shuffle_seed: Annotated[
        int | None, typer.Option(help="With --limit: a random few, drawn with this seed.")
    ] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Try samples again that failed before.")
    ] = False,
    overrides: SetOption = None,
    text_similarity: Annotated[
        str, typer.Option(help="How gcg compares phrases: token-f1, bert, or bert:FOLDER.")
    ] = DEFAULT,
    engine: Annotated[
        Engine, typer.Option(help="Who predicts: this process, or the workers of a Ray cluster.")
    ] = "here",
    address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster; default: one is started on this machine.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Workers on Ray; default: one a GPU, or one a CPU.")
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Write time and memory by stage into the report.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; default: a folder of its own below ./runs.")
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(help="Folder above the data sets; generated ones not there are made in the cache."),
    ] = None,
    report_mb: ReportOption = MEGABYTES,
    as_json: JsonOption = False,
) -> None:
    """Score a recipe: predict, score, report.

    Interrupt it at any time: the same command goes on where it stopped. Failed samples count as misses until
    --retry-errors mends them.
    """
    errors = Console(stderr=True, soft_wrap=True)
    try:
        report = bench(
            recipe=recipe,
            overrides=overrides or [],
            tasks=names(tasks, "task"),
            datasets=names(datasets, "data set"),
            selection=_selection(limit, ids, shuffle_seed),
            how=How(engine, address, workers, retry_errors, profile),
            text_similarity=text_similarity,
            out=out,
            data_root=data_root,
            console=Console(),
            report_mb=report_mb,
            as_json=as_json,
        )
    except GroundingError as error:
        errors.print(" ".join(str(error).split()), style="red", markup=False, highlight=False)
        raise typer.Exit(WRONG_USE) from None
    except KeyboardInterrupt:
        errors.print("Interrupted. The same command goes on from here.", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    if report is None:
        return  # another of the launched processes reports
    if any(result["predictors"][MODEL]["errors"] == result["n"] for result in report["results"]):
        errors.print("Every sample of a task failed.", style="red")
        raise typer.Exit(1)


def bench(
    *,
    recipe: str,
    overrides: list[str],
    tasks: list[str],
    datasets: list[str],
    selection: Selection,
    how: How,
    text_similarity: str,
    out: Path | None,
    data_root: Path | None,
    console: Console,
    report_mb: int = MEGABYTES,
    as_json: bool = False,
) -> dict[str, Any] | None:
    """Predict what is missing, then score and report.

    Args:
        recipe: name of an installed recipe, or path of a YAML file.
        overrides: ``part.option=value``.
        tasks: names of tasks.
        datasets: ``name`` or ``name:split``.
        selection: which samples of each split.
        how: who predicts.
        text_similarity: how phrases are compared: ``name`` or ``name:source``.
        out: run folder; None names one below ./runs by everything that shapes the report.
        data_root: folder above the data sets; generated ones that are not there are made in the cache.
        console: where tables go; progress goes to stderr.
        report_mb: room for the samples' films in report.html.
        as_json: print the report as JSON instead of tables.

    Returns:
        The report, as in report.json; None in a launched process that is not the first.

    Raises:
        GroundingError: something is unknown, missing or in use; failures of single samples are kept instead.
    """
    model, crew = RecipePredictor(Recipe.load(recipe, overrides)), Crew.here()
    with progress(Console(stderr=True, quiet=not crew.leads)) as bars:
        plan, units = Plan.of(
            model.name, model.fingerprint(), tasks, datasets, data_root, selection, bars, text_similarity
        )
        load_similarity(text_similarity)  # a wrong name ends the run before it begins
        folder = out or Path("runs") / f"{model.name}-{_key(plan, units)}"
        with locked(folder) if crew.leads else nullcontext(), profiled() if how.profile else nullcontext():
            try:
                missing = begin(folder, plan, units, model, how, crew)
                predict_missing(folder, plan, units, missing, model, how, crew, bars)
            except OSError as error:
                raise DataError(
                    f"Can't write below {folder}: {error.strerror or error}.",
                    "Free some space and run the same command again.",
                ) from error
            if not crew.leads:
                crew.leave()
                return None
            report = finish(folder, plan, units, bars, console, report_mb, as_json)
    crew.leave()
    return report


def _key(plan: Plan, units: list[Unit]) -> str:
    """A run folder of its own for everything that shapes the report."""
    data = {unit.label: f"{unit.data} {plan.selection}" for unit in units}
    return key_of({**plan.fingerprint, **data})


def _selection(limit: int | None, ids: str | None, shuffle_seed: int | None) -> Selection:
    if shuffle_seed is not None and limit is None:
        raise GroundingError("--shuffle-seed draws a random few.", "Say how many with --limit.")
    return Selection(limit, read_ids(ids), shuffle_seed)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.run")
