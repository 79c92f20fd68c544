"""What a run starts from."""

from __future__ import annotations

from pathlib import Path

from grounding_core.checkpoint import weight_files
from grounding_core.config import Recipe
from grounding_core.errors import CheckpointError, PluginError


def initial_checkpoint(source: str) -> str:
    """The checkpoint folder that is meant: a folder with weights, or the one of a recipe.

    Args:
        source: the folder; or an installed recipe, a YAML file, or a model on the hub.

    Raises:
        CheckpointError: there are no weights, or neither such a folder nor such a recipe.
        RecipeError: the recipe is malformed.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        try:
            recipe = Recipe.load(source)
        except PluginError as error:
            raise CheckpointError(
                f"{source} is neither a folder with weights nor an installed recipe.",
                "Look at its spelling; `grounding plugins` lists the recipes.",
            ) from error
        if recipe.checkpoint is None:
            raise CheckpointError(
                f"The recipe {recipe.name} names no checkpoint to start from.",
                "Name a folder with weights, as `grounding convert` or `grounding train` wrote it.",
            )
        folder = Path(recipe.checkpoint)
    weight_files(folder)
    return str(folder)
