"""``python -m benchmarks.curves RUN --out curves.png``: losses and validations of a training run."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.run import WRONG_USE
from grounding_core.errors import DataError, GroundingError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

LOG = "metrics.jsonl"
BESIDE = ("step", "lr", "videos_per_s", "total")
SMOOTHING = 0.95
COLUMNS = 4
KINDS = (".png", ".svg", ".pdf")


@app.command()
def curves(
    run: Annotated[Path, typer.Argument(help="Folder that `grounding train` wrote.")],
    out: Annotated[Path, typer.Option(help="Picture to write: PNG, SVG or PDF.")],
) -> None:
    """Draw the losses and validations of a training run, stage by stage."""
    try:
        draw([(log.parent.name, read(log)) for log in logs(run)], out)
    except GroundingError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False)
        raise typer.Exit(WRONG_USE) from None
    print(out)


def logs(run: Path) -> list[Path]:
    """Logs of a run's stages in order; the run's own where it has no stages.

    Raises:
        DataError: there are none.
    """
    numbered = [
        (int(head), log)
        for log in run.glob(f"*-*/{LOG}")
        if (head := log.parent.name.split("-")[0]).isdigit()
    ]
    found = [log for _, log in sorted(numbered)] or [log for log in [run / LOG] if log.is_file()]
    if not found:
        raise DataError(f"{run} holds no {LOG}.", "Name the folder given to `grounding train --out`.")
    return found


def read(log: Path) -> list[dict[str, Any]]:
    """The lines of a log. A resumed run may have written a step twice: the later one counts.

    Raises:
        DataError: a line is not JSON.
    """
    rows: dict[tuple[int, bool], dict[str, Any]] = {}
    for number, line in enumerate(log.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            rows[int(row["step"]), "validation" in row] = row
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{log}, line {number}: {error!r}.", "Delete the line, or train again."
            ) from error
    return [rows[key] for key in sorted(rows)]


def draw(stages: Sequence[tuple[str, list[dict[str, Any]]]], out: Path) -> None:
    """One panel a stage: smoothed losses on a logarithmic scale, validations in percent on the right.

    Raises:
        GroundingError: matplotlib is not installed, or the picture can't be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise GroundingError("Curves need matplotlib.", "pip install 'grounding-core[plots]'") from error
    if out.suffix.lower() not in KINDS:
        raise GroundingError(f"{out} is no picture.", f"Name a file that ends in {', '.join(KINDS)}.")
    columns = min(COLUMNS, len(stages))
    lines = math.ceil(len(stages) / columns)
    figure = Figure(figsize=(3.2 * columns, 2.8 * lines), layout="constrained")
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for empty in panels[len(stages) :]:
        empty.remove()
    for panel, (name, rows) in zip(panels, stages, strict=False):
        steps = [row for row in rows if "validation" not in row]
        judged = [row for row in rows if row.get("validation")]
        for loss in sorted({key for row in steps for key in row if key not in BESIDE}):
            known = [row for row in steps if loss in row]
            panel.plot([row["step"] for row in known], smooth([row[loss] for row in known]), label=loss)
        panel.set_yscale("log")
        panel.set_title(name, fontsize=9)
        panel.set_xlabel("step", fontsize=8)
        panel.tick_params(labelsize=7, which="both")
        panel.grid(alpha=0.3)
        if steps:
            panel.legend(fontsize=7)
        if judged:
            right = panel.twinx()
            first = next(iter(judged[0]["validation"]))
            judged = [row for row in judged if first in row["validation"]]
            values = [100 * row["validation"][first] for row in judged]
            right.plot([row["step"] for row in judged], values, "k.--", label=first)
            right.set_ylim(0, 100)
            right.tick_params(labelsize=7)
            right.set_ylabel(f"{first}, percent", fontsize=7)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=110)
    except OSError as error:
        raise GroundingError(
            f"{out} can't be written: {error.strerror or error}.", "Name another with --out."
        ) from error


def smooth(values: Sequence[float]) -> list[float]:
    """Exponential moving average, without the bias of its first values."""
    mean, weight, found = 0.0, 0.0, []
    for value in np.asarray(values, dtype=float):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * float(value)
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        found.append(mean / weight)
    return found


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.curves")
