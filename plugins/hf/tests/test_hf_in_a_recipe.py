"""The default recipe with parts of transformers in it learns, is saved, read again, and answers."""

from __future__ import annotations

import json
from pathlib import Path

import test_hf_language as families
import torch
from words import VOCABULARY, save_tokenizer

from grounding_core.checkpoint import save_weights
from grounding_core.compose import build
from grounding_core.config import Recipe
from grounding_core.model import GroundingModel
from grounding_core.testing.mask_decoder import video
from grounding_core.testing.swap import learns_and_answers, random_model

TOWER = {"intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32}
IMAGE = {"model_type": "dinov3_vit", "hidden_size": 32, **TOWER, "patch_size": 16, "num_register_tokens": 4}
VIDEO = {"model_type": "videomae", "hidden_size": 32, **TOWER, "patch_size": 16, "num_frames": 4}


def overrides(folder: Path) -> list[str]:
    # The embedding table has no row for [SEG] yet: it grows.
    network = {**families.SIZES, **families.TestGemma3.network, "vocab_size": VOCABULARY}
    return [
        "image_encoder.type=hf_image",
        f"image_encoder.network={json.dumps(IMAGE)}",
        "video_encoder.type=hf_video",
        f"video_encoder.network={json.dumps(VIDEO)}",
        "language_model.type=causal_lm",
        f"language_model.network={json.dumps(network)}",
        f"language_model.tokenizer={save_tokenizer(folder / 'tokenizer')}",
        "image_adapter.grid=[2,2]",
        "video_adapter.grid=[2,2]",
        "generation.max_new_tokens=8",
        "checkpoint=null",
    ]


def test_swapped_by_overrides(tmp_path: Path) -> None:
    chosen = overrides(tmp_path)
    model = random_model(Recipe.load("videoglamm-tiny", chosen))
    answer = learns_and_answers(model)

    save_weights(model.state_dict(), tmp_path)
    again = build(Recipe.load("videoglamm-tiny", [*chosen, f"checkpoint={tmp_path}"]))
    assert isinstance(again, GroundingModel)
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], msg=name)
    assert again.ground(video(5), "the cat").text == answer.text
