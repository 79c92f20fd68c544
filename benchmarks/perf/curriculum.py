"""``python -m benchmarks.perf.curriculum``: how long each stage of a recipe's training takes on this machine.

Every stage is trained for a few steps by the training loop itself, from the recipe's own weights, and the
time of a step is multiplied with the steps that the recipe asks for. Operations are counted beside: on a GPU,
which does a small model's arithmetic in no time, a step takes as long as Python needs to ask for them.
Visual tokens that a stage makes before its first step (``keep_visual``) are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.perf.measure import machine
from benchmarks.units import by_source, find_units, names
from grounding_core import DEFAULT_RECIPE
from grounding_core.cli.options import SetOption
from grounding_core.cli.progress import progress_bars
from grounding_core.compose import build_composed, plan
from grounding_core.config import Recipe
from grounding_core.interfaces.dataset import Sample
from grounding_core.training.config import TrainConfig
from grounding_core.training.data import pool
from grounding_core.training.journal import LOG
from grounding_core.training.loop import OBJECTIVES, train
from grounding_core.training.parts import choose_parts, parameter_groups

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

TASKS = ("refseg", "gcg")

ASKED = 10e-6
"""Seconds in which Python and PyTorch ask a GPU for one operation: a rule of thumb."""


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations."""

    operations = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return operation(*args, **(kwargs or {}))


def operations(recipe: Recipe, config: TrainConfig, groups: Sequence[Sequence[Sample]], folder: Path) -> int:
    """PyTorch operations of one step of a stage, on the CPU."""
    quiet = Console(quiet=True)
    model = build_composed(plan(recipe)).train()
    choose_parts(model, config, quiet)
    groups = groups[: config.videos]
    objective = OBJECTIVES[config.objective](model, config, groups, recipe.checkpoint)
    objective.begin(Accelerator(cpu=True), folder, quiet)
    items = [objective.items[(0, index)] for index in range(len(groups))]
    batch = objective.collate([item for item in items if not isinstance(item, str)])
    optimizer = torch.optim.AdamW(parameter_groups(objective, config.weight_decay), lr=1e-9)
    counter: Any = Counter()  # type: ignore[no-untyped-call]
    with counter:
        objective(batch)["total"].backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), config.clip)
        optimizer.step()
    objective.end()
    return int(counter.operations)


def seconds_a_step(log: Path, videos: int) -> float:
    """Of the later half of a stage's steps."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    at = [row["step"] * videos / row["videos_per_s"] for row in rows if "total" in row]
    half = len(at) // 2
    return float(at[-1] - at[half - 1]) / (len(at) - half)


@app.command()
def measure(
    recipe: Annotated[str, typer.Option(help="A recipe with weights and stages.")] = DEFAULT_RECIPE,
    overrides: SetOption = None,
    data: Annotated[str, typer.Option(help="Data sets to learn from: NAME:SPLIT.")] = "sprites:val",
    data_root: Annotated[Path | None, typer.Option(help="Folder above the data sets.")] = None,
    steps: Annotated[int, typer.Option(min=2, help="Of each stage; the later half is timed.")] = 12,
    out: Annotated[Path | None, typer.Option(help="Folder for curriculum.json.")] = None,
) -> None:
    """Print the time of a step, and of all steps, of each stage."""
    loaded = Recipe.load(recipe, overrides or ())
    config = loaded.training or TrainConfig()
    with progress_bars() as preparing:
        units = find_units(TASKS, names(data, "data set"), data_root=data_root, preparing=preparing)
    sources = by_source(units)
    few = {"steps": steps, "decay": 0, "warmup": 1, "lr": 1e-9, "validate_every": steps}
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as work:
        for number, stage in enumerate(config.staged()):
            folder = Path(work) / str(number)
            one = stage.model_copy(update=few)
            train(loaded, one, sources, folder, initial=loaded.checkpoint)
            counted = operations(loaded, stage, pool(sources, stage).groups, folder)
            second = seconds_a_step(folder / LOG, stage.videos)
            rows.append(
                {
                    "stage": stage.name,
                    "steps": stage.steps,
                    "videos": stage.videos,
                    "seconds a step": round(second, 4),
                    "minutes": round(stage.steps * second / 60, 1),
                    "operations a step": counted,
                    "minutes to ask for them": round(stage.steps * counted * ASKED / 60, 1),
                }
            )
    _print(rows)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"machine": _facts(), "stages": rows}, indent=1)
        (out / "curriculum.json").write_text(content + "\n", encoding="utf-8")


def _print(rows: Sequence[dict[str, Any]]) -> None:
    console = Console()
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "stage" else "right")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, (int, float)) else value for value in row.values()))
    console.print(table)
    here, asked = (sum(row[name] for row in rows) / 60 for name in ("minutes", "minutes to ask for them"))
    console.print(
        f"In all {here:.1f} hours here; on a GPU about {asked:.1f} hours to ask for all operations at "
        f"{ASKED * 1e6:.0f} µs each.",
        highlight=False,
    )
    facts = ", ".join(f"{key} {value}" for key, value in _facts().items())
    console.print(facts, style="dim", highlight=False)


def _facts() -> dict[str, str]:
    return {**machine(), "seconds": "on the wall"}


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.curriculum")
