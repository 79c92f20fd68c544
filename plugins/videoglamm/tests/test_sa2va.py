"""The same mechanism on another family: Sa2VA's decoder side, random weights in its published layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from grounding_videoglamm.adapters import MlpPromptAdapter
from grounding_videoglamm.sa2va import ADAPTER, SAM2, Sa2vaDecoderConverter
from grounding_videoglamm.sam2 import Sam2Decoder
from safetensors.torch import save_file
from tiny_reference import CONFIG
from torch import Tensor, nn

from grounding_core.checkpoint import load_weights
from grounding_core.conversion import convert, convert_back
from grounding_core.errors import CheckpointError
from grounding_core.hub import RECIPE
from grounding_core.tensors import open_tensors

WIDTH = 24


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"sam2": CONFIG["sam2"]}))
    converter = Sa2vaDecoderConverter()
    facts = converter.read(
        {"sam2": CONFIG["sam2"]}, {ADAPTER: (WIDTH, WIDTH), f"{SAM2}no_mem_embed": (1, 1, 64)}
    )
    tensors: dict[str, Tensor] = {}
    for key, shape in converter.shapes(facts.recipe).items():
        move = converter.move(key, back=True)
        assert move is not None, key
        own = (shape[0] // len(move.theirs), *shape[1:])
        tensors |= {name: torch.randn(own) for name in move.theirs}
    beside = ("language_model.model.norm.weight", "vision_model.embeddings.weight", "mlp1.0.weight")
    save_file(tensors | {key: torch.randn(3) for key in beside}, folder / "model.safetensors")
    return folder


def test_there_and_back(source: Path, tmp_path: Path) -> None:
    report = convert(Sa2vaDecoderConverter(), source, tmp_path / "ours")
    assert len(report.unused) == 3
    recipe = yaml.safe_load((tmp_path / "ours" / RECIPE).read_text())
    assert recipe["seg"]["state"] == "consuming"
    options = {key: value for key, value in recipe["mask_decoder"].items() if key != "type"}
    decoder = Sam2Decoder(Sam2Decoder.Config.model_validate(options))
    target = Sam2Decoder.spec(decoder.config)
    adapter = MlpPromptAdapter(MlpPromptAdapter.Config(), width=WIDTH, target=target)
    load_weights(nn.ModuleDict({"prompt_adapter": adapter, "mask_decoder": decoder}), tmp_path / "ours")
    frames = torch.randint(0, 256, (1, 2, 40, 60, 3), dtype=torch.uint8)
    with torch.no_grad():
        prompts = adapter(torch.randn(2, WIDTH))
        logits, _ = decoder.eval()(frames, prompts, torch.zeros(2, dtype=torch.long))
    assert logits.shape == (2, 2, 16, 16)
    assert bool(torch.isfinite(logits).all())
    convert_back(Sa2vaDecoderConverter(), tmp_path / "ours", tmp_path / "back")
    before, after = open_tensors(source), open_tensors(tmp_path / "back")
    assert set(before) == set(after)
    assert all(torch.equal(before[key].read(), after[key].read()) for key in after)


def test_another_models_checkpoint(source: Path, tmp_path: Path) -> None:
    save_file({"encoder.weight": torch.zeros(2)}, source / "model.safetensors")
    with pytest.raises(CheckpointError, match="no Sa2VA checkpoint"):
        convert(Sa2vaDecoderConverter(), source, tmp_path / "ours")
