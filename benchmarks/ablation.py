"""``python -m benchmarks.ablation``: train variants of a recipe alike, score each, print the table.

Run the same command again to go on after an interruption.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.table import Table

from benchmarks.disk import replace_text
from benchmarks.run import WRONG_USE
from benchmarks.units import Unit, by_source, find_units, names
from grounding_core.cli.options import SetOption
from grounding_core.cli.progress import progress_bars
from grounding_core.config import Recipe
from grounding_core.errors import DataError, GroundingError
from grounding_core.training.config import TrainConfig

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Ablation(BaseModel):
    """What is compared: a YAML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    recipe: str = Field(description="The recipe that is varied.")
    set: tuple[str, ...] = Field(default=(), description="Overrides for all variants.")
    variants: Mapping[str, tuple[str, ...]] = Field(
        min_length=1, description="Name -> overrides of this variant."
    )
    seeds: tuple[int, ...] = Field(
        default=(0,), min_length=1, description="Each variant is trained once with each."
    )
    measures: tuple[str, ...] = Field(
        min_length=1, description="What the table shows, e.g. `refseg jf` or `refseg jf motion`."
    )


def read_ablation(path: Path) -> Ablation:
    """An ablation file.

    Raises:
        DataError: it is missing or malformed.
    """
    try:
        return Ablation.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        problem = " ".join(str(error).split())
        raise DataError(
            f"{path} is not an ablation: {problem}.", "See benchmarks/ablations for one."
        ) from error


@app.command()
def ablate(
    file: Annotated[Path, typer.Argument(help="What is compared: YAML, see benchmarks/ablations.")],
    out: Annotated[Path, typer.Option(help="Folder; the same again goes on after an interruption.")],
    data: Annotated[str, typer.Option(help="Data sets to learn from: NAME or NAME:SPLIT.")] = "sprites:train",
    validation: Annotated[str, typer.Option(help="Data sets to score: NAME:SPLIT.")] = "sprites:val",
    tasks: Annotated[str, typer.Option(help="Tasks to learn and score.")] = "refseg,gcg",
    videos: Annotated[int, typer.Option(min=1, help="Videos of each split that are scored.")] = 60,
    data_root: Annotated[Path | None, typer.Option(help="Folder above the data sets.")] = None,
    initial: Annotated[
        str | None,
        typer.Option("--from", metavar="FOLDER|RECIPE", help="Checkpoint that all variants start from."),
    ] = None,
    overrides: SetOption = None,
) -> None:
    """Train variants of a recipe alike, score each, print the table."""
    try:
        ablation = read_ablation(file)
        learned, scored = (_units(specs, tasks, data_root) for specs in (data, validation))
        _check_measures(ablation, scored, videos)
        rows = {
            f"{name}/{seed}": _train_and_score(
                ablation.recipe,
                [*ablation.set, *ablation.variants[name], *(overrides or []), f"training.seed={seed}"],
                learned,
                scored,
                videos,
                out / f"{name.replace(' ', '-')}-{seed}",
                initial,
            )
            for name in ablation.variants
            for seed in ablation.seeds
        }
    except GroundingError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False)
        raise typer.Exit(WRONG_USE) from None
    (out / "ablation.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    _print(ablation, rows, validation)


def _units(specs: str, tasks: str, root: Path | None) -> list[Unit]:
    with progress_bars() as preparing:
        return find_units(names(tasks, "task"), names(specs, "data set"), data_root=root, preparing=preparing)


def _check_measures(ablation: Ablation, scored: list[Unit], videos: int) -> None:
    """Before anything is trained.

    Raises:
        DataError: one is not measured.
    """
    from benchmarks.validation import Validation

    known = [_short(key, scored) for key in Validation(scored, videos).measured()]
    for measure in ablation.measures:
        if measure not in known:
            raise DataError(f"Nothing measures {measure!r}.", f"Name some of: {', '.join(known)}.")


def _train_and_score(
    base: str,
    overrides: list[str],
    learned: list[Unit],
    scored: list[Unit],
    videos: int,
    folder: Path,
    initial: str | None,
) -> dict[str, float]:
    """Measures of one variant; those of an earlier run where they are there."""
    from benchmarks.validation import Validation
    from grounding_core.compose import build
    from grounding_core.model import GroundingModel
    from grounding_core.training.loop import train
    from grounding_core.training.state import STATE

    recipe = Recipe.load(base, overrides)
    result = folder / "result.json"
    settings = {
        "overrides": overrides,
        "recipe": recipe.fingerprint(),
        "from": initial,
        "videos": videos,
        "data": {unit.label: unit.data for unit in learned},
        "validation": {unit.label: unit.data for unit in scored},
    }
    if result.is_file():
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        # Results of older versions don't say on what data.
        other = [name for name, value in found["settings"].items() if settings.get(name) != value]
        if other and ("measures" in found or any(folder.rglob(f"*{STATE}*"))):  # else it learned nothing yet
            raise DataError(
                f"{folder} holds a run with other settings: {', '.join(other)}.",
                "Name another folder with --out.",
            )
        if "measures" in found:
            return dict(found["measures"])
    # Before it is trained: a run that was interrupted must not go on with other data.
    replace_text(result, json.dumps({"settings": settings}, indent=1))
    sources = by_source(learned)
    checkpoint = train(recipe, recipe.training or TrainConfig(), sources, folder, initial=initial)
    trained = [f"checkpoint={checkpoint}"]
    if (checkpoint / "tokenizer.json").is_file():
        trained.append(f"language_model.tokenizer={checkpoint}")
    model = build(Recipe.load(base, [*overrides, *trained]))
    assert isinstance(model, GroundingModel)  # whole models have no training section
    report = Validation(scored, videos)(model.eval(), folder / "answers.png")
    measures = {_short(key, scored): value for key, value in report.items()}
    replace_text(result, json.dumps({"settings": settings, "measures": measures}, indent=1))
    return measures


def _short(key: str, units: list[Unit]) -> str:
    """Measures by task alone, where each task has one unit."""
    for unit in units:
        if key.startswith(f"{unit.label} ") and sum(other.task == unit.task for other in units) == 1:
            return unit.task + key.removeprefix(unit.label)
    return key


def _print(ablation: Ablation, rows: Mapping[str, Mapping[str, float]], validation: str) -> None:
    seeds = len(ablation.seeds)
    table = Table(
        "variant", *ablation.measures, title=f"{validation}, percent; {seeds} seed{'s'[: seeds > 1]} each"
    )
    for name in ablation.variants:
        cells = []
        for measure in ablation.measures:
            values = [100 * rows[f"{name}/{seed}"].get(measure, np.nan) for seed in ablation.seeds]
            spread = f" ± {np.std(values, ddof=1):.1f}" if seeds > 1 else ""
            cells.append(f"{np.mean(values):.1f}{spread}")
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.ablation")
