"""The default recipe with SAM as its decoder learns and answers."""

from __future__ import annotations

import json

from grounding_core.config import Recipe
from grounding_core.testing.mask_decoder import video
from grounding_core.testing.swap import one_step, random_model

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
    model = random_model(Recipe.load("videoglamm-tiny", overrides))
    assert min(one_step(model).values()) > 0
    answer = model.ground(video(5), "the cat")
    assert all(len(track) == 5 for track in answer.tracks)
