"""The default recipe with SAM as its decoder learns and answers."""

from __future__ import annotations

import json

from grounding_core.config import Recipe
from grounding_core.testing.swap import learns_and_answers, random_model

SIZES = {
    "encoder_width": 32, "encoder_depth": 2, "encoder_heads": 2, "global_blocks": [1], "window": 2,
    "image_size": 64, "width": 32, "mlp_width": 32,
}  # fmt: skip


def test_swapped_by_overrides() -> None:
    overrides = [
        "mask_decoder.type=sam1",
        f"mask_decoder.model={json.dumps(SIZES)}",
        "mask_decoder.carry=true",
        "generation.max_new_tokens=8",
        "checkpoint=null",
    ]
    learns_and_answers(random_model(Recipe.load("videoglamm-tiny", overrides)))
