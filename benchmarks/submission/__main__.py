"""``python -m benchmarks.submission export | import``: answers to and from servers' formats. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.finish import progress
from benchmarks.lock import locked
from benchmarks.plan import Plan
from benchmarks.predict import line_facts, store_for
from benchmarks.scores import MODEL
from benchmarks.selection import Selection
from benchmarks.submission.read import digest, read
from benchmarks.submission.write import FORMATS, write
from benchmarks.units import Unit
from grounding_core.errors import DataError, GroundingError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def main() -> None:
    """Answers to and from the formats of evaluation servers and other programs."""


@app.command("export")
def export(
    run: Annotated[Path, typer.Argument(help="A folder made by benchmarks.run, or by import.")],
    format: Annotated[str, typer.Option(help=f"One of {', '.join(FORMATS)}.")],
    out: Annotated[Path, typer.Option(help="File to write; a folder for davis unless it ends in .zip.")],
    task: Annotated[str, typer.Option(help="Whose answers.")] = "refseg",
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME:SPLIT", help="Whose answers; needed if the run has several.")
    ] = None,
) -> None:
    """Write the answers of a run. Samples that failed are left out."""
    with _one_line():
        _known(format)
        plan = Plan.read(run)
        with progress(Console(stderr=True)) as bars:
            unit = _chosen(plan.units(bars), task, dataset)
        store = store_for(unit, MODEL, plan.fingerprint, run / "predictions")
        count = write(format, unit.samples, unit.whole, store.predictions(), out)
        print(f"{count} of {len(unit.samples)} samples written to {out}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A zip file, a folder, or a JSON file.")],
    format: Annotated[str, typer.Option(help=f"One of {', '.join(FORMATS)}.")],
    name: Annotated[str, typer.Option(help="What the report calls the model that made it.")],
    dataset: Annotated[str, typer.Option(metavar="NAME:SPLIT", help="What it answers.")],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    task: Annotated[str, typer.Option(help="What it answers.")] = "refseg",
    data_root: Annotated[Path | None, typer.Option(help="Folder above the data sets.")] = None,
) -> None:
    """Make a run folder of answers that another program gave, for `python -m benchmarks.score`.

    A sample that the file lacks, or whose masks do not fit its video, is an error and counts as a miss.
    """
    with _one_line():
        _known(format)
        facts = {"model": name, "format": format, "imported": digest(format, file)}
        with progress(Console(stderr=True)) as bars:
            plan, units = Plan.of(name, facts, [task], [dataset], data_root, Selection(), bars)
            unit = _chosen(units, task, None)
            with locked(out):
                wrong = _keep(file, format, unit, plan, out)
        shown = f"{len(unit.samples) - wrong} of {len(unit.samples)} samples imported"
        print(f"{shown}. Score them: python -m benchmarks.score {out}")


def _keep(file: Path, format: str, unit: Unit, plan: Plan, out: Path) -> int:
    """Begin the run and write the predictions; returns how many are errors."""
    given = read(format, file, unit.samples, unit.whole)
    first = next(given)  # a file of something else ends here, and the folder stays as it was
    plan.begin(out)
    store = store_for(unit, MODEL, plan.fingerprint, out / "predictions")
    done = store.done()
    samples = {sample.id: sample for sample in unit.samples}
    try:
        with store:
            for prediction in chain((first,), given):
                if prediction.id not in done:
                    store.append(prediction, line_facts(unit, samples[prediction.id]))
    except OSError as error:
        raise DataError(f"Can't write below {out}: {error.strerror or error}.", "Free some space.") from error
    return sum(1 for found in store.predictions().values() if found.error)


def _chosen(units: Sequence[Unit], task: str, dataset: str | None) -> Unit:
    names = {f"{unit.dataset}:{unit.split}": unit for unit in units if unit.task == task}
    found = [unit for name, unit in names.items() if dataset in (None, name, unit.dataset)]
    if len(found) == 1:
        return found[0]
    raise GroundingError(
        f"{len(found)} data sets of this run match {task} {dataset or ''}".strip() + ".",
        f"Name one with --dataset: {', '.join(names) or 'the run has none of this task'}.",
    )


def _known(format: str) -> None:
    if format not in FORMATS:
        raise GroundingError(f"There is no format {format!r}.", f"Formats: {', '.join(FORMATS)}.")


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except GroundingError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.submission")
