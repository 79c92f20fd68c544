"""``grounding train``: learn a recipe's weights from data sets with masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grounding_core.cli.options import RecipeArgument, SetOption

if TYPE_CHECKING:
    from benchmarks.units import Unit

TASKS = ("refseg", "gcg")


def train(
    recipe: RecipeArgument,
    data: Annotated[
        str, typer.Option(help="Data sets, comma-separated: NAME, or NAME:SPLIT (default train).")
    ],
    out: Annotated[Path, typer.Option(help="Run folder; the same again goes on after an interruption.")],
    overrides: SetOption = None,
    validation: Annotated[str, typer.Option(help="Data sets to look at as it goes: NAME:SPLIT.")] = "",
    tasks: Annotated[
        str,
        typer.Option(
            help="Tasks to learn; their samples must have masks. Default: refseg and gcg, as the data have."
        ),
    ] = "",
    data_root: Annotated[
        Path | None, typer.Option(help="Folder above the data sets; default: the cache of generated ones.")
    ] = None,
    initial: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FOLDER|RECIPE", help="Checkpoint to start from, or a recipe with one."
        ),
    ] = None,
) -> None:
    """Train a recipe as its `training` section says, or go on with a run."""
    from benchmarks.units import by_source
    from grounding_core.compose import plan
    from grounding_core.config import Recipe
    from grounding_core.training.config import TrainConfig

    loaded = Recipe.load(recipe, overrides or ())
    config = loaded.training or TrainConfig()
    if config.tokenizer_vocabulary is None:
        plan(loaded)
    sources = by_source(_units(data, "train", tasks, data_root))
    validator = None
    if validation:
        from benchmarks.validation import Validation

        validator = Validation(_units(validation, "val", tasks, data_root), config.validate_videos)
    # Only now torch: what can be wrong above is said at once.
    from accelerate import PartialState

    from grounding_core.training.loop import train as run

    folder = run(loaded, config, sources, out, validator=validator, initial=initial)
    if PartialState().is_main_process:
        print(f"checkpoint: {folder}")


def _units(data: str, split: str, tasks: str, root: Path | None) -> Sequence[Unit]:
    from benchmarks.units import find_units, names
    from grounding_core.cli.progress import progress_bars

    specs = [name if ":" in name else f"{name}:{split}" for name in names(data, "data set")]
    with progress_bars() as preparing:
        chosen = names(tasks, "task") if tasks else TASKS
        return find_units(chosen, specs, data_root=root, preparing=preparing, every=bool(tasks))
