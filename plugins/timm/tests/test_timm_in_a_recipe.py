"""The default recipe with a backbone of timm in it learns and answers."""

from __future__ import annotations

from grounding_core.config import Recipe
from grounding_core.testing.swap import learns_and_answers, random_model


def test_swapped_by_overrides() -> None:
    overrides = [
        "image_encoder.type=timm",
        "image_encoder.model=vit_small_patch16_dinov3",
        "image_encoder.pretrained=false",
        "image_encoder.image_size=64",
        "image_encoder.arguments={embed_dim: 32, depth: 2, num_heads: 2}",
        "image_adapter.grid=[2,2]",
        "sampling.fusion=concat",
        "generation.max_new_tokens=8",
        "checkpoint=null",
    ]
    learns_and_answers(random_model(Recipe.load("videoglamm-tiny", overrides)))
