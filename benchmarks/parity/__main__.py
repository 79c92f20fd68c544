"""The command: recompute every golden case and print how far off we are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.parity.captions import check_captions
from benchmarks.parity.clair import check_clair
from benchmarks.parity.gcg import check_gcg
from benchmarks.parity.golden import Row
from benchmarks.parity.grounding import check_grounding
from benchmarks.parity.refseg import check_refseg
from grounding_core.errors import DataError, GroundingError

CHECKS: tuple[Callable[[Path], list[Row]], ...] = (
    check_refseg,
    check_grounding,
    check_gcg,
    check_captions,
    check_clair,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def parity(folder: Annotated[Path, typer.Argument(help="A folder of golden metric cases.")]) -> None:
    """Recompute every golden case: metric, cases, largest error, and pass, fail or none (no such cases)."""
    try:
        rows = [row for check in CHECKS for row in _rows(check, folder)]
    except GroundingError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(2) from None
    table = Table("metric", box=None, padding=(0, 2, 0, 0))
    for name in ("cases", "largest error", "tolerance", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        verdict = ("[green]pass[/]" if row.errors else "none") if row.passed else "[red]FAIL[/]"
        table.add_row(row.metric, str(len(row.errors)), f"{row.worst:.1e}", f"{row.tolerance:.0e}", verdict)
    Console().print(table)
    if not all(row.passed for row in rows) or not any(row.errors for row in rows):
        raise typer.Exit(1)


def _rows(check: Callable[[Path], list[Row]], folder: Path) -> list[Row]:
    try:
        return check(folder)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        name = check.__name__.removeprefix("check_")
        raise DataError(
            f"The golden {name} cases in {folder} can't be read: {type(error).__name__}: {error}.",
            "Compare them with the folder's README.",
        ) from error


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.parity")
