"""What this distribution offers. Loads nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from grounding_core.hookspecs import Entry, hookimpl


@hookimpl
def grounding_entries() -> Sequence[Entry]:
    """The generated data set ``sprites``."""
    return [
        Entry(
            "dataset",
            "sprites",
            "grounding_sprites.dataset:Sprites",
            hint="pip install grounding-sprites",
            summary="generated videos of named sprites that move, for all three tasks (OpenMoji art)",
        )
    ]
