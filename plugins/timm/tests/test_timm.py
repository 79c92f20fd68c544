"""Backbones of timm keep the contract of image encoders, and carry the weights they are given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import timm
import torch
from grounding_timm.encoder import TimmConfig, TimmEncoder
from safetensors.torch import save_file
from timm.models import save_for_hf

from grounding_core.errors import GroundingError
from grounding_core.testing import ImageEncoderConformance

VIT = {"embed_dim": 32, "depth": 2, "num_heads": 2}


def tower(model: str, **arguments: Any) -> dict[str, Any]:
    return {"model": model, "pretrained": False, "image_size": 32, "arguments": arguments}


def save(model: Any, folder: Path) -> None:
    """As timm writes models for the hub, with a mean of its own."""
    model.pretrained_cfg["mean"] = [0.1, 0.2, 0.3]
    save_for_hf(model, folder, model_args={"img_size": 32, **VIT}, safe_serialization=True)


class Backbone(ImageEncoderConformance):
    name = "timm"
    grid: ClassVar[tuple[int, int]] = (2, 2)

    def test_the_grid_is_that_of_the_patches(self, spec: Any) -> None:
        assert spec.grid == self.grid


class TestDinoV3(Backbone):
    options = tower("vit_small_patch16_dinov3", **VIT)


class TestDinoV2WithAnotherSize(Backbone):
    options = {**tower("vit_small_patch14_reg4_dinov2", **VIT), "image_size": 42, "fit": "crop"}
    grid = (3, 3)


class TestSiglipBeforeItsLastLayer(Backbone):
    options = {**tower("vit_base_patch16_siglip_224", **VIT), "layer": -2}


class TestEva(Backbone):
    options = {**tower("eva02_tiny_patch14_224", **VIT), "image_size": 28}


class TestConvNext(Backbone):
    options = {**tower("convnext_atto", dims=[8, 8, 16, 16], depths=[1, 1, 1, 1]), "image_size": 64}


class TestHiera(Backbone):
    options = {
        **tower("hiera_tiny_224", embed_dim=8, stages=[1, 1, 1, 1], num_heads=1, img_size=[64, 64]),
        "image_size": 64,
        "norm": False,
    }


class TestFromDisk(Backbone):
    """The hub's layout: config.json, with arguments and normalisation, and model.safetensors."""

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        model = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0, **VIT)
        save(model, folder)
        return {"model": str(folder), "image_size": 32}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A model, and the folder of its files in three formats."""
    folder = tmp_path_factory.mktemp("timm")
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0, **VIT)
    save(model, folder)
    torch.save({"state_dict": model.state_dict()}, folder / "weights.pth")
    return model.eval(), folder


@pytest.mark.parametrize("form", ["", "model.safetensors", "weights.pth"])
def test_weights_are_those_on_disk(saved: tuple[Any, Path], form: str) -> None:
    model, folder = saved
    options = {"model": str(folder)} if not form else tower("vit_tiny_patch16_224", img_size=32, **VIT)
    if form:
        options["weights"] = str(folder / form)
    encoder = TimmEncoder(TimmConfig.model_validate({**options, "image_size": 32})).eval()
    assert encoder.mean == ((0.5, 0.5, 0.5) if form else (0.1, 0.2, 0.3))
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = model.forward_features(pixels)[:, 1:].transpose(1, 2).unflatten(2, (2, 2))
        torch.testing.assert_close(encoder.maps(pixels), expected)


def test_foreign_weights_are_refused(saved: tuple[Any, Path], tmp_path: Path) -> None:
    save_file({"something": torch.zeros(1)}, tmp_path / "other.safetensors")
    options = {
        **tower("vit_tiny_patch16_224", img_size=32, **VIT),
        "weights": str(tmp_path / "other.safetensors"),
    }
    with pytest.raises(GroundingError, match=r"other.safetensors lacks \d+ weights"):
        TimmEncoder(TimmConfig.model_validate(options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "vit_smal_patch16_dinov3"}, "Did you mean vit_small_patch16_dinov3"),
        ({"model": "hiera_tiny_224", "pretrained": False}, "normalization of features not supported"),
        ({"model": "vit_tiny_patch16_224", "pretrained": False, "layer": -99}, "no layer -99"),
        ({"model": "vit_tiny_patch16_224", "pretrained": False, "arguments": {"depht": 2}}, "depht"),
        ({"model": "vit_tiny_patch16_224", "weights": "nowhere.safetensors"}, "no weights file"),
    ],
)
def test_errors_name_what_is_wrong(options: dict[str, Any], message: str) -> None:
    config = TimmConfig.model_validate(options)
    with pytest.raises(GroundingError, match=message):
        TimmEncoder.spec(config)
        TimmEncoder(config)


def test_a_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config = TimmConfig(model="vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(GroundingError, match="Weights come from the hub unless"):
        TimmEncoder(config)
