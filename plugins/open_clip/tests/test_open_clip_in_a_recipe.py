"""The default recipe with an image tower of open_clip in it learns and answers."""

from __future__ import annotations

from grounding_core.config import Recipe
from grounding_core.testing.swap import learns_and_answers, random_model


def test_swapped_by_overrides() -> None:
    overrides = [
        "image_encoder.type=open_clip",
        "image_encoder.model=ViT-S-16",
        "image_encoder.image_size=64",
        "image_adapter.grid=[2,2]",
        "sampling.fusion=concat",
        "generation.max_new_tokens=8",
        "checkpoint=null",
    ]
    learns_and_answers(random_model(Recipe.load("videoglamm-tiny", overrides)))
