"""Folders that lack a part of a network are refused: no weight is left random but for a line in a log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from small import small_model, small_recipe
from transformers import LlamaConfig, LlamaForCausalLM, ResNetConfig, ResNetModel, ViTConfig, ViTModel

from grounding_core.compose import build_composed, plan
from grounding_core.errors import CheckpointError
from grounding_core.hub import from_pretrained
from grounding_core.model import GroundingModel


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> GroundingModel:
    return small_model(tmp_path_factory.mktemp("model"))


def without(folder: Path, keys: str) -> str:
    """A folder's path after its weights whose names hold this text are gone."""
    file = folder / "model.safetensors"
    kept = {key: value for key, value in load_file(file).items() if keys not in key}
    save_file(kept, file, metadata={"format": "pt"})
    return str(folder)


def read(folder: Path, part: str, weights: Path) -> GroundingModel:
    return build_composed(plan(small_recipe(folder, f"{part}.weights={weights}")))


@pytest.mark.parametrize(
    ("part", "network", "gone"),
    [
        ("image_encoder", "tower", "layers.0."),
        ("language_model", "network", "layers.1.mlp"),
        ("mask_decoder", "network", "mask_decoder."),
        # A buffer, but of numbers that were trained with.
        ("mask_decoder", "network", "shared_image_embedding"),
    ],
)
def test_incomplete_weights(
    model: GroundingModel, tmp_path: Path, part: str, network: str, gone: str
) -> None:
    getattr(getattr(model, part), network).save_pretrained(tmp_path)
    without(tmp_path, gone)
    with pytest.raises(CheckpointError, match=rf"weights .* lack \d+ keys of .*the first is .*{gone}"):
        read(tmp_path, part, tmp_path)


SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def test_weights_of_another_kind(tmp_path: Path) -> None:
    ViTModel(ViTConfig(**SIZES, image_size=128, patch_size=16)).save_pretrained(tmp_path / "vit")
    LlamaForCausalLM(LlamaConfig(**SIZES, vocab_size=300)).save_pretrained(tmp_path / "llama")
    with pytest.raises(CheckpointError, match=r"CLIP weights .* of CLIPVisionModel"):
        read(tmp_path, "image_encoder", tmp_path / "vit")
    with pytest.raises(CheckpointError, match=r"Phi-3 weights .* of Phi3ForCausalLM"):
        read(tmp_path, "language_model", tmp_path / "llama")


def test_weights_of_another_size(tmp_path: Path) -> None:
    ViTModel(ViTConfig(**SIZES, image_size=32, patch_size=16)).save_pretrained(tmp_path)
    other = ViTConfig(**SIZES, image_size=48, patch_size=16)
    other.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"position_embeddings is 1 x 5 x 32, not 1 x 10 x 32"):
        from_pretrained(ViTModel.from_pretrained, str(tmp_path), what="ViT weights")


def test_what_is_tied_or_computed_may_be_missing(tmp_path: Path) -> None:
    tied = LlamaForCausalLM(LlamaConfig(**SIZES, vocab_size=300, tie_word_embeddings=True))
    tied.save_pretrained(tmp_path / "llama")
    assert "lm_head.weight" not in load_file(tmp_path / "llama/model.safetensors")
    read_again = from_pretrained(LlamaForCausalLM.from_pretrained, str(tmp_path / "llama"), what="Weights")
    assert read_again.lm_head.weight is read_again.model.embed_tokens.weight

    residual = ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1]))
    residual.save_pretrained(tmp_path / "resnet")
    folder = without(tmp_path / "resnet", "num_batches_tracked")
    again = from_pretrained(ResNetModel.from_pretrained, folder, what="Weights")
    for name, value in residual.state_dict().items():
        assert (again.state_dict()[name] == value).all(), name
