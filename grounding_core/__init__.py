"""Say what is in a video and point at it, pixel by pixel.

    import grounding_core as gc

    model = gc.load("videoglamm-tiny")
    answer = model.ground("clip.mp4", "the dog that moves left")

Names are imported on first use: importing this package loads neither torch nor a video reader.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grounding_core.errors import GroundingError
    from grounding_core.masks import MaskTrack
    from grounding_core.types import GroundedText, Query, Span
    from grounding_core.video import Video

__version__ = "0.1.0"

DEFAULT_RECIPE = "videoglamm-tiny"
"""What commands use when no recipe is named."""

__all__ = ["GroundedText", "GroundingError", "MaskTrack", "Query", "Span", "Video", "__version__", "load"]

_HOMES = {
    "GroundingError": "grounding_core.errors",
    "MaskTrack": "grounding_core.masks",
    "GroundedText": "grounding_core.types",
    "Query": "grounding_core.types",
    "Span": "grounding_core.types",
    "Video": "grounding_core.video",
}


def load(recipe: str | Path, *, overrides: Sequence[str] = (), device: str | None = None) -> Any:
    """The model of a recipe, ready to answer.

    Args:
        recipe: name of an installed recipe; path of a YAML file, or of a folder with ``recipe.yaml``; or a
            model on the hub, ``owner/name`` or ``owner/name@revision``.
        overrides: ``part.option=value`` each, as for ``--set`` on the command line.
        device: where it computes, as PyTorch names it (``cpu``, ``cuda:1``, ``mps``); None: a GPU of CUDA
            where there is one, else the CPU.

    Returns:
        A `grounding_core.model.GroundingModel`, or the whole model that the recipe names
        (a `grounding_core.interfaces.grounder.Grounder`).

    Raises:
        PluginError: the recipe is not installed.
        RecipeError: it does not fit together; holds all problems.
        CheckpointError: its weights are missing or do not fit.
        GroundingError: the device can't be used.
    """
    from grounding_core.compose import build
    from grounding_core.config import Recipe
    from grounding_core.errors import CheckpointError

    found = Recipe.load(recipe, overrides)
    if not found.has_weights:
        raise CheckpointError(
            f"The recipe {found.name} names no checkpoint, and weights that nobody trained answer nothing.",
            "Load what `grounding convert` or `grounding train` wrote, or add --set checkpoint=FOLDER.",
        )
    return build(found, device=device)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
