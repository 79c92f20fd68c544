"""``python -m grounding_videoglamm.parity GOLDEN_DIR``: does this package compute what the reference did?"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from grounding_core.errors import GroundingError
from grounding_videoglamm.parity import language, masks, training, vision
from grounding_videoglamm.parity.compare import Checks, Row
from grounding_videoglamm.parity.golden import Golden

WIDTH = 130


def compare(folder: Path, told: Callable[[str], None] = lambda stage: None) -> list[Row]:
    """All comparisons with a golden folder.

    Raises:
        CheckpointError: the folder lacks a file, or its checkpoint can't be converted.
    """
    golden = Golden(folder)
    checks = Checks(golden)
    tracking, framewise = golden.models()
    steps: list[tuple[str, Callable[[], object]]] = [
        ("preprocessing", lambda: vision.preprocessing(checks, tracking)),
        ("image features", lambda: vision.image_features(checks, tracking)),
        ("video features", lambda: vision.video_features(checks, tracking)),
        ("projectors", lambda: vision.projectors(checks, tracking)),
        ("merged visual tokens", lambda: vision.merged_tokens(checks, tracking)),
        ("SAM 2 features", lambda: vision.sam2_features(checks, tracking)),
        ("generation", lambda: language.generated(checks, tracking)),
        ("single image", lambda: language.single_image(checks, tracking)),
        ("framewise masks", lambda: masks.framewise(checks, framewise)),
        ("video branch", lambda: masks.tracked(checks, tracking)),
        ("whole pipeline", lambda: masks.whole_pipeline(checks, tracking)),
    ]
    with torch.no_grad():
        for stage, run in steps:
            told(stage)
            checks.stage = stage
            run()
        told("teacher forcing")
        prompts = language.teacher_forced(checks, tracking)
        masks.evaluation_forward(checks, framewise, prompts)
    for letter in ("A", "B"):
        if f"train{letter}_loss" in golden.outputs:
            told(f"training batch {letter}")
            training.batch(checks, framewise, letter)
    return checks.rows


def table(rows: list[Row], title: str, *, every: bool) -> Table:
    """One line a stage, with the tensor that came closest to its tolerance; or one line a tensor."""
    shown = Table("stage", "tensor", "largest error", "relative", "tolerance", "", title=title)
    stages = list(dict.fromkeys(row.stage for row in rows))
    for stage in stages:
        own = [row for row in rows if row.stage == stage]
        worst = max(
            own, key=lambda row: (not row.passed, row.error / row.tolerance if row.tolerance else row.error)
        )
        lines = own if every else [worst]
        for row in lines:
            name = row.name if every or len(own) == 1 else f"{row.name} (of {len(own)})"
            mark = "[green]pass[/]" if row.passed else "[red]FAIL[/]"
            numbers = f"{row.error:.1e}", f"{row.relative:.1e}", f"{row.tolerance:.1e}"
            shown.add_row(stage, " ".join(filter(None, (name, row.note))), *numbers, mark)
    return shown


def main(
    folder: Annotated[
        Path, typer.Argument(metavar="GOLDEN_DIR", help="Folder with the reference's numbers.")
    ],
    every: Annotated[bool, typer.Option("--all", help="One line a tensor instead of one a stage.")] = False,
) -> None:
    """Compare every stage with the reference's numbers; exit code 0 only if all are within tolerance."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    progress = Console(stderr=True)
    try:
        with progress.status("converting") as status:
            rows = compare(folder, lambda stage: status.update(stage))
    except GroundingError as error:
        print(f"parity: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    console.print(table(rows, f"Parity with {folder.name}", every=every))
    failed = sum(not row.passed for row in rows)
    console.print(f"{len(rows) - failed} of {len(rows)} comparisons within tolerance")
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    typer.run(main)
