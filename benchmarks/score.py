"""``python -m benchmarks.score RUN``: score a run folder again from its predictions, without the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.finish import JsonOption, ReportOption, finish, progress, stores
from benchmarks.lock import locked
from benchmarks.plan import Plan
from benchmarks.predict import check_videos
from benchmarks.report.browser import MEGABYTES
from benchmarks.scores import MODEL
from grounding_core.errors import DataError, GroundingError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def score(
    run: Annotated[Path, typer.Argument(help="A folder made by benchmarks.run.")],
    text_similarity: Annotated[
        str | None, typer.Option(help="How phrases are compared; default: as in the run.")
    ] = None,
    report_mb: ReportOption = MEGABYTES,
    as_json: JsonOption = False,
) -> None:
    """Score predictions and write the reports again; loads no model."""
    try:
        plan = Plan.read(run)
        if text_similarity is not None:
            plan = replace(plan, text_similarity=text_similarity)
        with progress(Console(stderr=True)) as bars, locked(run):
            units = plan.units(bars)
            kept = [stores(run, unit, plan.fingerprint)[MODEL] for unit in units]
            if not any(len(store.predictions()) for store in kept):
                raise DataError(f"{run} holds no answers of {plan.model}.", "Run what began it again.")
            for unit, store in zip(units, kept, strict=True):
                check_videos(unit, store)
            finish(run, plan, units, bars, Console(), report_mb, as_json)
    except GroundingError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.score")
