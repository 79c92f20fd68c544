"""A composed model with random weights, small enough for tests, from the shipped recipe's own classes."""

from __future__ import annotations

from pathlib import Path

import torch

from grounding_core.compose import build_composed, plan
from grounding_core.config import Recipe
from grounding_core.model import GroundingModel
from grounding_core.training.tokenizer import train_tokenizer

SMALL = (
    "image_encoder.layers=1",
    "video_encoder.layers=1",
    "language_model.layers=2",
    "mask_decoder.stages=[1,1,2,1]",
    "mask_decoder.global_blocks=[3]",
    "generation.max_new_tokens=10",
)


def small_recipe(folder: Path, *overrides: str) -> Recipe:
    """The tiny recipe, smaller still, with a tokenizer written below ``folder``."""
    tokenizer = folder / "tokenizer"
    if not tokenizer.is_dir():
        special = ["<|end|>", "<|user|>", "<|assistant|>", "[SEG]"]
        train_tokenizer(
            ["What is the red cat that moves left?"] * 4, tokenizer, vocabulary=400, special=special
        )
    extra = (f"language_model.tokenizer={tokenizer}", "checkpoint=null", *overrides)
    return Recipe.load("videoglamm-tiny", [*SMALL, *extra])


def small_model(folder: Path, *overrides: str, seed: int = 0) -> GroundingModel:
    """Its model, with weights large enough for lively outputs."""
    torch.manual_seed(seed)
    model = build_composed(plan(small_recipe(folder, *overrides)), weights=False)
    with torch.no_grad():
        for parameter in model.language_model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
    return model


def prefer_seg(model: GroundingModel) -> None:
    """Make every answer start with the seg token: the question's last token drowns out the rest."""
    lm = model.language_model
    last = lm.tokenize(model.prompts.layout)[-1]
    with torch.no_grad():
        embedding = lm.network.get_input_embeddings().weight
        embedding[last] *= 1000
        lm.network.lm_head.weight[model.seg_id] = 20 * embedding[last] / embedding[last].norm()
