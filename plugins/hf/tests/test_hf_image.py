"""Vision towers of transformers keep the contract of image encoders, and carry the weights they are given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from grounding_hf.image import HfImage, grid_side
from transformers import (
    CLIPConfig,
    CLIPModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    EfficientNetConfig,
    EfficientNetImageProcessor,
    EfficientNetModel,
    SiglipConfig,
    SiglipModel,
)

from grounding_core.errors import GroundingError
from grounding_core.pixels import normalise
from grounding_core.testing import ImageEncoderConformance

TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 99,
}
FACTS = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}


def save(model: Any, folder: Path) -> str:
    """A checkpoint in the hub's layout, with its image processor."""
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(FACTS))
    return str(folder)


class Tower(ImageEncoderConformance):
    name = "hf_image"
    grid: ClassVar[tuple[int, int]] = (2, 2)

    def test_the_grid_is_that_of_the_patches(self, spec: Any) -> None:
        assert spec.grid == self.grid


class TestClipFromDisk(Tower):
    """The published form: both towers, of which one is read."""

    unreached = ("tower.post_layernorm.*",)

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        return {"weights": save(CLIPModel(CLIPConfig(text_config=TEXT, vision_config=TOWER)), folder)}


class TestSiglipFromDisk(Tower):
    unreached = ("tower.head.*",)

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        return {"weights": save(SiglipModel(SiglipConfig(text_config=TEXT, vision_config=TOWER)), folder)}


class TestSiglipBeforeItsLastLayerAtAnotherSize(Tower):
    options: ClassVar[Mapping[str, Any]] = {
        "network": {"model_type": "siglip_vision_model", **TOWER},
        "layer": -2,
        "image_size": 48,
        "fit": "crop",
    }
    unreached = ("tower.head.*", "tower.post_layernorm.*", "tower.encoder.layers.1.*")
    grid = (3, 3)


class TestFlexibleSiglip2(Tower):
    options: ClassVar[Mapping[str, Any]] = {
        "network": {
            **{key: value for key, value in TOWER.items() if key != "image_size"},
            "model_type": "siglip2_vision_model",
            "num_patches": 9,
        }
    }
    unreached = ("tower.head.*",)
    grid = (3, 3)


class TestDinoV3FromDisk(Tower):
    unreached = ("tower.embeddings.mask_token",)

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        return {"weights": save(DINOv3ViTModel(DINOv3ViTConfig(**TOWER, num_register_tokens=4)), folder)}


class TestDinoV2WithRegisters(Tower):
    options: ClassVar[Mapping[str, Any]] = {
        "network": {
            **{key: value for key, value in TOWER.items() if key != "intermediate_size"},
            "model_type": "dinov2_with_registers",
            "mlp_ratio": 2,
        },
        "image_size": 48,
    }
    unreached = ("tower.embeddings.mask_token",)
    grid = (3, 3)


class TestConvNext(Tower):
    options: ClassVar[Mapping[str, Any]] = {
        "network": {"model_type": "convnext", "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
        "image_size": 64,
    }
    unreached = ("tower.layernorm.*",)


class TestDinoV3ConvNext(Tower):
    options: ClassVar[Mapping[str, Any]] = {
        "network": {"model_type": "dinov3_convnext", "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
        "image_size": 64,
    }


class TestSwin(Tower):
    options: ClassVar[Mapping[str, Any]] = {
        "network": {
            "model_type": "swin",
            "embed_dim": 8,
            "depths": [1, 1],
            "num_heads": [2, 2],
            "window_size": 4,
            "image_size": 32,
        }
    }
    grid = (4, 4)


def test_the_tower_has_the_weights_on_disk(tmp_path: Path) -> None:
    for model in (
        CLIPModel(CLIPConfig(text_config=TEXT, vision_config=TOWER)),
        SiglipModel(SiglipConfig(text_config=TEXT, vision_config=TOWER)),
    ):
        encoder = HfImage(HfImage.Config(weights=save(model, tmp_path / type(model).__name__))).eval()
        assert (encoder.mean, encoder.std) == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
        pixels = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            expected = model.eval().vision_model(pixels).last_hidden_state[:, -4:]
            torch.testing.assert_close(encoder.maps(pixels).flatten(2).transpose(1, 2), expected)


def test_patches_of_flexible_towers_are_those_of_convolutions() -> None:
    """SigLIP 2's flexible tower has the fixed one's weights in another layout: the features are the same."""
    sizes = {key: value for key, value in TOWER.items() if key != "image_size"}
    fixed = HfImage(HfImage.Config(network={"model_type": "siglip_vision_model", **TOWER})).eval()
    flexible = HfImage(
        HfImage.Config(network={"model_type": "siglip2_vision_model", **sizes, "num_patches": 4})
    ).eval()
    weights = fixed.state_dict()
    kernel = weights["tower.embeddings.patch_embedding.weight"]
    weights["tower.embeddings.patch_embedding.weight"] = kernel.permute(0, 2, 3, 1).flatten(1)
    flexible.load_state_dict(weights)
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(flexible.maps(pixels), fixed.maps(pixels), atol=1e-5, rtol=1e-5)


def test_registers_are_not_taken_for_patches() -> None:
    assert grid_side(1 + 4 + 4, 32, DINOv3ViTConfig(**TOWER, num_register_tokens=4)) == 2


@pytest.mark.parametrize("tokens", [3, 4 + 3, 9, 16])
def test_tokens_that_are_no_grid_are_refused(tokens: int) -> None:
    with pytest.raises(ValueError, match=f"{tokens} tokens are no grid"):
        grid_side(tokens, 32, DINOv3ViTConfig(**TOWER))


LOCAL = {
    "vit_mae": ({**TOWER, "num_hidden_layers": 0, "image_size": 64}, -1, (4, 4)),
    "sam_vision_model": (
        {
            "hidden_size": 32,
            "mlp_dim": 48,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "window_size": 1,
            "global_attn_indexes": [],
            "initializer_range": 0.02,
        },
        -2,
        (4, 4),
    ),
    "hiera": (
        {"image_size": [64, 64], "embed_dim": 8, "num_heads": [1] * 4, "depths": [1] * 4},
        -4,
        (16, 16),
    ),
    "swin": (
        {"image_size": 64, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4},
        -3,
        (16, 16),
    ),
}


@pytest.mark.parametrize("kind", LOCAL)
def test_features_lie_where_their_pixels_do(kind: str) -> None:
    """Before anything mixes places, what changes in a corner changes features in that corner alone."""
    network, layer, grid = LOCAL[kind]
    config = HfImage.Config(network={"model_type": kind, **network}, layer=layer)
    spec, encoder = HfImage.spec(config), HfImage(config).eval()
    assert spec.grid == grid
    clip = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    clip[1:] = clip[0]
    clip[1, :16, 48:] = 255 - clip[0, :16, 48:]
    with torch.no_grad():
        one, other, again = encoder([clip])[0].unflatten(1, grid)
    torch.testing.assert_close(one, again)
    changed = (one - other).abs().amax(2) > 1e-4
    rows, columns = grid[0] // 4, grid[1] // 4
    assert changed[:rows, -columns:].all()
    beside = rows if kind == "hiera" else 0  # its first stages look at a quarter of this picture
    changed[: rows + beside, -columns - beside :] = False
    assert not changed.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": {"model_type": "clip_vision_modell"}}, "clip_vision_modell"),
        ({"network": {"model_type": "clip_vision_model", "hiden_size": 32}}, "no option hiden_size"),
        ({"network": {"model_type": "clip_vision_model", **TOWER}, "layer": -9}, "layer -9 is none of"),
        ({"network": {"model_type": "pixtral", **TOWER}}, "makes no features .* no single images"),
        ({"weights": "nobody/nothing"}, "nobody/nothing.*folder with config.json, or a hub id"),
        ({"weights": "/nowhere"}, "/nowhere has no config.json"),
    ],
)
def test_errors_name_what_is_wrong(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(GroundingError, match=message):
        HfImage.spec(HfImage.Config.model_validate(options))


def test_foreign_or_incomplete_checkpoints(tmp_path: Path) -> None:
    model = DINOv3ViTModel(DINOv3ViTConfig(**TOWER))
    model.save_pretrained(tmp_path)
    config = HfImage.Config(weights=str(tmp_path))
    with pytest.raises(GroundingError, match=r"no preprocessor_config.json.*Give `mean` and `std`"):
        HfImage(config)
    clip = {**CLIPConfig(text_config=TEXT, vision_config=TOWER).to_dict(), "model_type": "clip"}
    (tmp_path / "config.json").write_text(json.dumps(clip))
    with pytest.raises(GroundingError, match=r"lack \d+ keys of CLIPVisionModel"):
        HfImage(config)


@pytest.mark.parametrize("options", [{}, {"include_top": False}, {"rescale_offset": True}])
def test_pixels_are_those_of_efficientnets_processor(options: dict[str, Any], tmp_path: Path) -> None:
    """It has a shift like ViViT's, and divides by the deviation twice."""
    small = {"width_coefficient": 0.1, "depth_coefficient": 0.1, "image_size": 32, "hidden_dim": 16}
    EfficientNetModel(EfficientNetConfig(**small)).save_pretrained(tmp_path)
    processor = EfficientNetImageProcessor(**options, image_std=[0.2, 0.3, 0.4])
    processor.save_pretrained(tmp_path)
    encoder = HfImage(HfImage.Config(weights=str(tmp_path)))
    frames = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    given = processor(list(frames.permute(0, 3, 1, 2)), do_resize=False, return_tensors="pt")
    found = normalise(frames, encoder.mean, encoder.std, torch.float32)
    torch.testing.assert_close(found, given["pixel_values"], atol=1e-5, rtol=1e-5)
