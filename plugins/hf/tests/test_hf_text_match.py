"""Frames chosen by a dual encoder: small random ones of transformers, saved and loaded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from grounding_hf.text_match import TextMatch
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from grounding_core import Query, Video
from grounding_core.training.tokenizer import train_tokenizer

TEXT = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION = {**TEXT, "image_size": 32, "patch_size": 8}


@pytest.fixture(scope="module", params=["clip", "siglip"])
def selector(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextMatch:
    folder = tmp_path_factory.mktemp(request.param)
    train_tokenizer(["a red cat moves left"] * 4, folder, vocabulary=300, special=["<|end|>"])
    torch.manual_seed(0)
    text = {**TEXT, "vocab_size": 300, "max_position_embeddings": 32}
    if request.param == "clip":
        ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
        model = CLIPModel(CLIPConfig(text_config=text | ends, vision_config=VISION, projection_dim=16))
    else:
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))
    model.save_pretrained(folder)
    return TextMatch(TextMatch.Config(weights=str(folder), candidates=12, batch=5))


def video() -> Video:
    return Video.open(np.random.default_rng(0).integers(0, 255, (40, 24, 36, 3), dtype=np.uint8))


def test_the_best_frames_are_taken_in_the_order_of_time(selector: TextMatch) -> None:
    chosen = selector.select(video(), Query("a red cat"), 4)
    assert chosen == sorted(set(chosen)) and len(chosen) == 4
    words = selector.tokenizer(["a red cat"], return_tensors="pt")
    pixels = torch.arange(40)
    with torch.no_grad():
        seen = selector._pixels(video(), pixels)
        images = selector.model.get_image_features(pixel_values=seen).pooler_output
        text = selector.model.get_text_features(**words).pooler_output
    scores = torch.nn.functional.cosine_similarity(images, text)
    looked_at = np.linspace(0, 39, 12).astype(int)
    best = sorted(looked_at, key=lambda index: -float(scores[index]))[:4]
    assert chosen == sorted(int(index) for index in best)


def test_without_a_question_frames_are_evenly_spread(selector: TextMatch) -> None:
    assert selector.select(video(), None, 3) == [0, 19, 39]
    assert selector.select(video(), Query("", "describe"), 3) == [0, 19, 39]


def test_a_short_video_gives_all_its_frames(selector: TextMatch) -> None:
    assert selector.select(video().clip(0, 3), Query("a cat"), 4) == [0, 1, 2, 2]
