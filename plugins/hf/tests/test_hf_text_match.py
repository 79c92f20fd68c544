"""Frames chosen by a dual encoder: small random ones of transformers, saved and loaded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from grounding_hf.image_text import HfImageText
from grounding_hf.text_match import TextMatch
from safetensors.torch import load_file, save_file

import grounding_core as gc
from grounding_core import Query, Video
from grounding_core.errors import CheckpointError
from grounding_core.training.tokenizer import train_tokenizer

LAYERS = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT = {**LAYERS, "vocab_size": 300, "max_position_embeddings": 64}
VISION = {**LAYERS, "patch_size": 8}
ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
SIDE = {"height": 32, "width": 32}
SPECIAL = ["<|end|>", "<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]


def clip() -> tuple[Any, Any]:
    found = transformers.CLIPConfig(
        text_config=TEXT | ENDS, vision_config=VISION | {"image_size": 32}, projection_dim=16
    )
    return transformers.CLIPModel(found), transformers.CLIPImageProcessor(size=SIDE, crop_size=SIDE)


def siglip() -> tuple[Any, Any]:
    found = transformers.SiglipConfig(text_config=TEXT, vision_config=VISION | {"image_size": 32})
    return transformers.SiglipModel(found), transformers.SiglipImageProcessor(size=SIDE)


def siglip2() -> tuple[Any, Any]:
    found = transformers.Siglip2Config(text_config=TEXT, vision_config=VISION | {"num_patches": 16})
    processor = transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    return transformers.Siglip2Model(found), processor


@pytest.fixture(scope="module", params=[clip, siglip, siglip2])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dual")
    train_tokenizer(["a red cat moves left"] * 4, folder, vocabulary=300, special=SPECIAL)
    torch.manual_seed(0)
    model, processor = request.param()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def selector(folder: Path) -> TextMatch:
    return TextMatch(TextMatch.Config(weights=str(folder), candidates=12, batch=5))


FRAMES = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), dtype=np.uint8)
FRAMES[:, :16] //= np.arange(1, 41, dtype=np.uint8)[:, None, None, None]


def video() -> Video:
    return Video.open(FRAMES)


def test_the_best_frames_are_taken_in_the_order_of_time(selector: TextMatch, folder: Path) -> None:
    """Those that model and processors of transformers score highest."""
    looked_at = np.linspace(0, 39, 12).astype(int)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    pictures = transformers.AutoImageProcessor.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = ["a red cat"]
    words = tokenizer(text, return_tensors="pt")
    if model.config.model_type != "clip":  # as their documentation asks
        words = tokenizer(text, padding="max_length", max_length=64, return_tensors="pt")
    with torch.no_grad():
        given = pictures(list(FRAMES[looked_at]), return_tensors="pt")
        scores = model(**words, **given).logits_per_image[:, 0]
    order = looked_at[scores.argsort(descending=True).numpy()].tolist()
    for count in range(1, 12):
        chosen = selector.select(video(), Query("a red cat"), count)
        assert chosen == sorted(order[:count])


def test_long_questions_are_cut(selector: TextMatch) -> None:
    assert len(selector.select(video(), Query("a red cat " * 99), 2)) == 2


def test_folders_that_do_not_say_how_pixels_are_made(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no preprocessor_config\.json that says"):
        TextMatch(TextMatch.Config(weights=str(copy)))


def test_weights_without_a_text_tower_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    file = copy / "model.safetensors"
    kept = {key: value for key, value in load_file(file).items() if not key.startswith("text_model.")}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"Dual encoder .* lack \d+ keys of .* text_model"):
        TextMatch(TextMatch.Config(weights=str(copy)))
    crop = type("Sight", (), {"crop": FRAMES[0]})()
    with pytest.raises(CheckpointError, match=r"Dual encoder .* lack \d+ keys of .* text_model"):
        HfImageText(HfImageText.Config(weights=str(copy))).similarity([crop], ["a cat"])


def test_without_a_question_frames_are_evenly_spread(selector: TextMatch) -> None:
    assert selector.select(video(), None, 3) == [0, 19, 39]
    assert selector.select(video(), Query("", "describe"), 3) == [0, 19, 39]


def test_a_short_video_gives_all_its_frames(selector: TextMatch) -> None:
    assert selector.select(video().clip(0, 3), Query("a cat"), 4) == [0, 1, 2, 2]


def test_a_saved_model_holds_its_selector(selector: TextMatch, tmp_path: Path) -> None:
    weights = shutil.copytree(selector.config.weights, tmp_path / "dual")
    model = gc.load(
        "videoglamm-tiny",
        overrides=[f"sampling.select={{type: text_match, weights: {weights}}}"],
        device="cpu",
    )
    model.save_pretrained(tmp_path / "saved")
    shutil.rmtree(weights)
    (tmp_path / "saved").rename(tmp_path / "elsewhere")
    again = gc.load(tmp_path / "elsewhere", device="cpu")
    query = Query("a red cat")
    assert (
        again.encode(video(), query).sampled
        == model.encode(video(), query).sampled
        != model.encode(video()).sampled
    )
    assert str(tmp_path) not in (tmp_path / "elsewhere" / "recipe.yaml").read_text()
