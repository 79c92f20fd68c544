"""The default recipe with another tracker as its decoder learns and answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from grounding_sam import standin

from grounding_core.config import Recipe
from grounding_core.testing.swap import learns_and_answers, random_model


@pytest.mark.parametrize(("name", "save"), [("edgetam", standin.edgetam), ("sam3", standin.sam3)])
def test_swapped_by_overrides(name: str, save: Callable[[Path], Path], tmp_path: Path) -> None:
    overrides = [
        f"mask_decoder.type={name}",
        f"mask_decoder.weights={save(tmp_path)}",
        "mask_decoder.mode=memory",
        "generation.max_new_tokens=8",
        "checkpoint=null",
    ]
    learns_and_answers(random_model(Recipe.load("videoglamm-tiny", overrides)))
