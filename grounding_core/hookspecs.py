"""The one hook a plugin implements, and what it returns. Loads nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pluggy

GROUP = "grounding_core"
"""Entry-point group, and the pluggy project name."""

INTERFACE = 1
"""Version of the interfaces that plugins implement. A plugin's entry module may say ``INTERFACE = 1``: it is
built for that version, and an older core refuses it by name. It rises when a plugin written for the new
interfaces can't work with the old ones."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)

Kind = Literal[
    "image_encoder",
    "video_encoder",
    "vision_adapter",
    "language_model",
    "prompt_adapter",
    "mask_decoder",
    "frame_selector",
    "model",
    "recipe",
    "converter",
    "dataset",
    "task",
    "metric",
    "text_similarity",
    "image_text",
    "object_source",
    "mask_maker",
    "object_describer",
    "composer",
    "questioner",
    "checker",
    "command",
]


@dataclass(frozen=True)
class Entry:
    """One thing a plugin offers.

    Attributes:
        kind: what it is.
        name: how recipes and commands call it; unique within its kind over all plugins.
        target: ``"package.module:Class"``, imported on first use only; for a recipe
            ``"package:path/in/package.yaml"``; for a command a ``typer.Typer``, run as ``grounding NAME``.
        hint: what to install when importing the target fails, e.g. ``"pip install timm"``.
        summary: one line for ``grounding plugins``.
    """

    kind: Kind
    name: str
    target: str
    hint: str = ""
    summary: str = ""


@hookspec
def grounding_entries() -> Sequence[Entry]:  # type: ignore[empty-body]
    """Return what this plugin offers. Called once at discovery: import nothing heavy here."""
