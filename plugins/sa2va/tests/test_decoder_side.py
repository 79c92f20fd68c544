"""Sa2VA's decoder side becomes parts of a recipe, and its published weights again."""

from __future__ import annotations

from pathlib import Path

import published
import pytest
import torch
import yaml
from grounding_sa2va.decoder_side import Sa2vaDecoderConverter
from grounding_videoglamm.adapters import MlpPromptAdapter
from grounding_videoglamm.sam2 import Sam2Decoder
from safetensors.torch import save_file
from torch import nn

from grounding_core.checkpoint import load_weights
from grounding_core.conversion import convert, convert_back
from grounding_core.errors import CheckpointError
from grounding_core.hub import RECIPE
from grounding_core.tensors import open_tensors


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return published.save(tmp_path / "source")


def test_there_and_back(source: Path, tmp_path: Path) -> None:
    report = convert(Sa2vaDecoderConverter(), source, tmp_path / "ours")
    assert {key.partition(".")[0] for key in report.unused} == {"language_model", "vision_model", "mlp1"}
    recipe = yaml.safe_load((tmp_path / "ours" / RECIPE).read_text())
    assert recipe["seg"]["state"] == "consuming"
    options = {key: value for key, value in recipe["mask_decoder"].items() if key != "type"}
    decoder = Sam2Decoder(Sam2Decoder.Config.model_validate(options))
    target = Sam2Decoder.spec(decoder.config)
    adapter = MlpPromptAdapter(MlpPromptAdapter.Config(), width=32, target=target)
    load_weights(nn.ModuleDict({"prompt_adapter": adapter, "mask_decoder": decoder}), tmp_path / "ours")
    frames = torch.randint(0, 256, (1, 2, 40, 60, 3), dtype=torch.uint8)
    with torch.no_grad():
        prompts = adapter(torch.randn(2, 32))
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
