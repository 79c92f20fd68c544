"""Image towers of open_clip keep the contract of image encoders, and carry the weights they are given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import open_clip
import pytest
import torch
from grounding_open_clip.encoder import OpenClipConfig, OpenClipEncoder
from grounding_open_clip.image_text import ImageTextConfig, OpenClipImageText
from PIL import Image
from safetensors.torch import save_file

from benchmarks.image_text import Sight
from grounding_core.errors import GroundingError
from grounding_core.testing import ImageEncoderConformance

VIT = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
RESNET = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8}
CONVNEXT = {
    "timm_model_name": "test_convnext",
    "timm_model_pretrained": False,
    "timm_pool": "",
    "timm_proj": "linear",
    "image_size": 64,
}


def saved(folder: Path, vision: Mapping[str, Any]) -> Any:
    """Write a random model in the hub's layout, and return it."""
    text = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
    facts = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]}
    described = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": described, "preprocess_cfg": facts})
    )
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return model.eval()


class Tower(ImageEncoderConformance):
    name = "open_clip"
    vision: ClassVar[Mapping[str, Any]]
    more: ClassVar[Mapping[str, Any]] = {}
    grid: ClassVar[tuple[int, int]] = (2, 2)

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        saved(folder, cls.vision)
        return {"model": str(folder), **cls.more}

    def test_the_grid_is_that_of_the_patches(self, spec: Any) -> None:
        assert spec.grid == self.grid


class TestVit(Tower):
    vision = VIT


class TestVitBeforeItsLastLayerAtAnotherSize(Tower):
    vision = VIT
    more: ClassVar[Mapping[str, Any]] = {"layer": -2, "image_size": 48, "fit": "crop"}
    grid = (3, 3)


class TestResNet(Tower):
    vision = RESNET
    unreached = ("tower.attnpool.*",)


class TestConvNextOfTimm(Tower):
    vision = CONVNEXT
    unreached = ("tower.trunk.head.*", "tower.head.*")


@pytest.mark.parametrize("form", ["folder", "safetensors", "pt"])
def test_weights_are_those_on_disk(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = saved(tmp_path, VIT)
    options: dict[str, Any] = {"model": str(tmp_path)}
    if form != "folder":
        description = json.loads((tmp_path / "open_clip_config.json").read_text())["model_cfg"]
        (tmp_path / "Tiny-16.json").write_text(json.dumps(description))
        open_clip.add_model_config(tmp_path / "Tiny-16.json")
        torch.save(model.state_dict(), tmp_path / "weights.pt")
        file = {"safetensors": "open_clip_model.safetensors", "pt": "weights.pt"}[form]
        options = {"model": "Tiny-16", "pretrained": str(tmp_path / file)}
    encoder = OpenClipEncoder(OpenClipConfig.model_validate(options)).eval()
    assert (encoder.mean == (0.1, 0.2, 0.3)) == (form == "folder")
    pixels = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        model.visual.output_tokens = True
        model.visual.proj = None
        expected = model.visual.ln_post(model.visual.transformer(model.visual._embeds(pixels)))[:, 1:]
        torch.testing.assert_close(encoder.maps(pixels).flatten(2).transpose(1, 2), expected)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, VIT)
    save_file({"something": torch.zeros(1)}, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(GroundingError, match="can't be made"):
        OpenClipEncoder(OpenClipConfig(model=str(tmp_path)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "ViT-B-61"}, "Did you mean ViT-B-16"),
        ({"model": "ViT-B-16", "pretrained": "nowhere"}, "no pretrained tag nowhere.*laion2b"),
        ({"model": "ViT-B-16", "layer": -99}, "no layer -99"),
        ({"model": "hf-hub:nobody/nothing"}, "can't be made"),
    ],
)
def test_errors_name_what_is_wrong(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(GroundingError, match=message):
        OpenClipEncoder.spec(OpenClipConfig.model_validate(options))


class TestImageText:
    """A whole model compares crops with phrases."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        saved(tmp_path, VIT)
        return tmp_path

    def test_crops_and_phrases_are_compared_as_open_clip_does(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(open_clip, "get_tokenizer", lambda _: letters)
        config = ImageTextConfig(model=str(folder), template="{text}")
        frame = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        mask = np.zeros((40, 50), bool)
        mask[10:30, 5:35] = True
        sight = Sight(frame, mask)
        assert sight.crop.shape == (26, 38, 3), "15 % around it on each side"
        model = OpenClipImageText(config)
        found = model.similarity([sight, sight], ["ab", "c"])
        whole = open_clip.create_model(f"local-dir:{folder}").eval()
        transform = open_clip.transform.image_transform_v2(
            open_clip.transform.PreprocessCfg(**whole.visual.preprocess_cfg), is_train=False
        )
        with torch.inference_mode():
            seen = whole.encode_image(transform(Image.fromarray(sight.crop))[None], normalize=True)
            said = whole.encode_text(letters(["ab", "c"]), normalize=True)
        assert found.shape == (2, 2)
        assert found[0] == pytest.approx((seen @ said.T)[0].numpy(), abs=1e-5)
        assert model.similarity([], ["a"]).shape == (0, 1)

    def test_models_that_do_not_exist_are_named(self) -> None:
        model = OpenClipImageText(ImageTextConfig(model="ViT-Q-7"))
        with pytest.raises(GroundingError, match="no model ViT-Q-7"):
            model.similarity([Sight(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool))], ["a"])


def letters(texts: list[str]) -> torch.Tensor:
    """A tokenizer of a few letters, as long as the model's context."""
    return torch.tensor([([ord(letter) % 64 for letter in text] + [0] * 8)[:8] for text in texts])
