"""Sa2VA from its published layout answers as the published code does, and keeps the contract of grounders."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest
import torch
from grounding_sa2va.frames import tiles
from grounding_sa2va.internvit import InternVit
from grounding_sa2va.layout import Vision
from grounding_sa2va.model import Sa2va
from safetensors.torch import save_file
from transformers import InternVLVisionConfig, InternVLVisionModel

from grounding_core.errors import CheckpointError
from grounding_core.testing import GrounderConformance
from grounding_core.types import Query
from grounding_core.video import Video

GOLDEN = json.loads((published.HERE / "golden.json").read_text(encoding="utf-8"))
"""What the published code (github.com/bytedance/Sa2VA, October 2025) gave for these weights in float32."""


class TestSa2va(GrounderConformance):
    name = "sa2va"
    queries = (*GrounderConformance.queries, Query("", "describe"))

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        return {"weights": str(published.save(folder / "sa2va")), "max_new_tokens": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published.save(tmp_path_factory.mktemp("weights") / "sa2va")


@pytest.fixture(scope="module")
def model(folder: Path) -> Sa2va:
    return Sa2va(Sa2va.Config(weights=str(folder), max_new_tokens=14))


@pytest.mark.parametrize("name", GOLDEN)
def test_answers_as_the_published_code_does(model: Sa2va, name: str) -> None:
    golden = GOLDEN[name]
    video = Video.open(published.frames(*golden["shape"]))
    text = golden["text"].removeprefix("<image>\n")
    asked = text.removesuffix(" Please respond with a segmentation mask.").strip()
    if "?" not in text:
        asked = text.removeprefix("Please segment ").removesuffix(".")
    query = Query(asked)
    context = model.encode(video)
    prompt = model.language_model.tokenize(model.question(query))
    assert context.prefix.length + len(prompt) == golden["length"]
    generated = model.language_model.generate(context.prefix, [prompt], max_new_tokens=14)
    ends = model.language_model.end_ids
    assert generated.ids[0] == [token for token in golden["ids"] if token not in ends]
    places = [i + 1 for i, token in enumerate(generated.ids[0]) if token == model.seg_id]
    states = generated.states[0][places]
    torch.testing.assert_close(states, torch.tensor(golden["states"]).view_as(states), atol=1e-3, rtol=1e-3)
    answer = model.ground(context, query)
    assert len(answer.tracks) == len(golden["masks"])
    for track, expected in zip(answer.tracks, golden["masks"], strict=True):
        for place, bits in enumerate(expected):
            mask = np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8), count=np.prod(video.size))
            ours = track.mask(place)
            assert np.mean(ours.ravel() != mask) < 0.002, f"frame {place}"


@pytest.mark.parametrize("norm", ["layer_norm", "rms_norm"])
def test_the_vision_tower_is_that_of_transformers(norm: str) -> None:
    """InternViT 300M has layer norms; the 6B one has RMS norms, also of queries and keys."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    rms = norm == "rms_norm"
    ours = InternVit(
        Vision(**sizes, image_size=56, patch_size=14, qkv_bias=not rms, qk_normalization=rms, norm_type=norm)
    )
    config = InternVLVisionConfig(
        **sizes,
        image_size=[56, 56],
        patch_size=[14, 14],
        attention_bias=not rms,
        use_qk_norm=rms,
        norm_type=norm,
    )
    theirs = InternVLVisionModel(config).eval()
    names = {
        "embeddings.class_embedding": "embeddings.cls_token",
        "embeddings.patch_embedding": "embeddings.patch_embeddings.projection",
        "embeddings.position_embedding": "embeddings.position_embeddings",
        "encoder.layers": "encoder.layer",
        ".attn.proj": ".attention.projection_layer",
        ".attn.": ".attention.",
        ".norm1": ".layernorm_before",
        ".norm2": ".layernorm_after",
        ".ls": ".lambda_",
    }
    state = {}
    for key, value in ours.state_dict().items():
        value.copy_(published.weight(key, tuple(value.shape)))
        new = key
        for old, name in names.items():
            new = new.replace(old, name)
        if ".qkv" in new:
            for part, piece in zip("qkv", value.chunk(3), strict=True):
                state[new.replace("qkv", f"{part}_proj")] = piece
        else:
            state[new] = value
    theirs.load_state_dict(state)
    pixels = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        expected = theirs(pixels, output_hidden_states=True).hidden_states[-1]
        torch.testing.assert_close(ours(pixels).flatten(1, 2), expected[:, 1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("height", "width", "count"), [(56, 56, 1), (40, 110, 4), (110, 40, 4), (300, 400, 13), (10, 400, 13)]
)
def test_an_image_is_cut_into_tiles(height: int, width: int, count: int) -> None:
    image = torch.from_numpy(published.frames(1, height, width)[0])
    cut = tiles(image, 56, 12)
    assert cut.shape == (count, 56, 56, 3)
    # The whole image stands last, and each tile looks like its place in it.
    assert (cut[-1].float().mean() - image.float().mean()).abs() < 12


def test_half_precision(folder: Path) -> None:
    model = Sa2va(Sa2va.Config(weights=str(folder), number_type="bf16", max_new_tokens=6))
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    (answer,) = model.ground(model.encode(Video.open(published.frames(6, 24, 48))), [Query("the cat")])
    assert all(len(track) == 6 for track in answer.tracks)


def test_a_conversation_keeps_its_turns(model: Sa2va) -> None:
    past = model.question(Query("the cat"), history=[("\nWhat moves?", "It is [SEG].")])
    assert past.startswith("</img>\n") and past.count("<|im_start|>assistant") == 2
    assert "It is [SEG].<|im_end|>\n<|im_start|>user\nPlease segment the cat.<|im_end|>" in past


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["Sa2VAChatModelQwen"]}, "is of Sa2VAChatModelQwen; Sa2VAChatModel is read here"),
        ({"llm_config": {"model_type": "internlm2"}}, "'internlm2', which can't be made.*InternLM 2"),
        ({"template": "moss_sft"}, "template 'moss_sft' is unknown here"),
        ({"downsample_ratio": 0}, "downsample_ratio input should be greater than 0"),
        ({"vision_config": {**published.CONFIG["vision_config"], "hidden_size": 16}}, "has shape .* needs"),
        ({"sam2": {}}, "needs"),
    ],
)
def test_what_does_not_fit_is_named(
    folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**published.CONFIG, **changes}))
    for file in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).symlink_to(folder / file)
    with pytest.raises(CheckpointError, match=message):
        Sa2va(Sa2va.Config(weights=str(tmp_path)))


def test_missing_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        Sa2va(Sa2va.Config(weights=str(tmp_path)))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="'nobody/nothing' can't be fetched"):
        Sa2va(Sa2va.Config(weights="nobody/nothing"))


def test_an_incomplete_folder(folder: Path, tmp_path: Path) -> None:
    lacking = "grounding_encoder.sam2_model.no_mem_embed"
    weights = {k: published.weight(k, s) for k, s in published.shapes().items() if k != lacking}
    save_file({**weights, "mlp2.0.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).symlink_to(folder / file)
    with pytest.raises(CheckpointError, match=r"holds 1 keys that this model has no place for: mlp2\.0"):
        Sa2va(Sa2va.Config(weights=str(tmp_path)))
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"lacks 1 keys that this model needs: {lacking}"):
        Sa2va(Sa2va.Config(weights=str(tmp_path)))


@pytest.mark.slow
def test_scores_in_the_harness(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    recipe = {"name": "tiny-sa2va", "model": {"type": "sa2va", "weights": str(folder), "max_new_tokens": 8}}
    file.write_text(json.dumps(recipe))
    command = [sys.executable, "-m", "benchmarks.run", "--tasks", "gcg,grounding,refseg", "--limit", "2"]
    done = subprocess.run(
        [*command, "--recipe", str(file), "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert {result["predictors"]["model"]["errors"] for result in report["results"]} == {0}
