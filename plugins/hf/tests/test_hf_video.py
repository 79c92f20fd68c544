"""Video towers of transformers keep the contract of video encoders, and carry the weights they are given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from grounding_hf.video import HfVideo
from transformers import (
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEImageProcessor,
    VivitConfig,
    VivitImageProcessor,
    VivitModel,
    VJEPA2Config,
    VJEPA2Model,
)

from grounding_core.errors import GroundingError
from grounding_core.pixels import normalise
from grounding_core.testing import VideoEncoderConformance

TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "image_size": 32}
LAYERS = {"num_hidden_layers": 2, "num_frames": 4}
VJEPA2 = {
    "crop_size": 32,
    "frames_per_clip": 16,
    "hidden_size": 36,
    "mlp_ratio": 2,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pred_hidden_size": 24,
    "pred_num_hidden_layers": 1,
    "pred_num_attention_heads": 2,
}
PE_VIDEO = {
    "model_type": "pe_video_encoder",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "head_dim": 16,
    "vision_config": {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 16,
        "model_args": {"embed_dim": 32, "depth": 1, "num_heads": 2, "img_size": 32},
    },
}


def save(model: Any, folder: Path) -> str:
    model.save_pretrained(folder)
    facts = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(facts))
    return str(folder)


class Tower(VideoEncoderConformance):
    name = "hf_video"
    shape: ClassVar[tuple[Any, int, int]] = ((2, 2), 4, 2)

    def test_grid_chunk_and_stride(self, spec: Any) -> None:
        assert (spec.grid, spec.chunk, spec.stride) == self.shape


class TestVideoMaeFromDisk(Tower):
    """As published: with the decoder of its pre-training."""

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        found = VideoMAEConfig(
            **TOWER,
            **LAYERS,
            use_mean_pooling=False,
            decoder_hidden_size=16,
            decoder_intermediate_size=16,
            decoder_num_hidden_layers=1,
            decoder_num_attention_heads=2,
        )
        return {"weights": save(VideoMAEForPreTraining(found), folder)}


class TestVJepa2FromDisk(Tower):
    """Rotary positions: frames and size are the reader's choice."""

    shape = ((3, 3), 4, 2)

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        return {"weights": save(VJEPA2Model(VJEPA2Config(**VJEPA2)), folder), "frames": 4, "image_size": 48}


class TestVideoPrism(Tower):
    options: ClassVar[Mapping[str, Any]] = {
        "network": {
            "model_type": "videoprism_vision_model",
            **TOWER,
            "num_frames": 4,
            "num_spatial_layers": 1,
            "num_temporal_layers": 1,
            "tubelet_size": [1, 16, 16],
        }
    }
    shape = ((2, 2), 4, 1)


class TestVivit(Tower):
    options: ClassVar[Mapping[str, Any]] = {
        "network": {"model_type": "vivit", **TOWER, **LAYERS, "tubelet_size": [2, 16, 16]}
    }
    unreached = ("tower.pooler.*",)


@pytest.mark.skipif(find_spec("timm") is None, reason="PE-video's image tower comes from timm")
class TestPeVideo(Tower):
    options: ClassVar[Mapping[str, Any]] = {"network": PE_VIDEO, "frames": 4, "image_size": 32}
    shape = (None, 4, 1)


def test_features_are_those_of_the_tower(tmp_path: Path) -> None:
    """Two chunks of four frames; a place's features are its own."""
    model = VJEPA2Model(VJEPA2Config(**VJEPA2)).eval()
    encoder = HfVideo(HfVideo.Config(weights=save(model, tmp_path), frames=4)).eval()
    assert encoder.mean == (0.1, 0.2, 0.3)
    pixels = torch.randn(1, 4, 3, 32, 32)
    with torch.no_grad():
        expected = model(pixels, skip_predictor=True).last_hidden_state
        torch.testing.assert_close(encoder.features(pixels), expected.view(1, 2, 4, 36))


@pytest.mark.parametrize(
    "processor",
    [
        VivitImageProcessor(),
        VivitImageProcessor(offset=False, rescale_factor=1 / 255),
        VivitImageProcessor(do_normalize=False),
        VideoMAEImageProcessor(),
        VideoMAEImageProcessor(do_rescale=False, image_mean=[99.0] * 3, image_std=[60.0] * 3),
    ],
)
def test_pixels_are_those_of_the_processor(processor: Any, tmp_path: Path) -> None:
    VivitModel(VivitConfig(**TOWER, **LAYERS, tubelet_size=[2, 16, 16])).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    encoder = HfVideo(HfVideo.Config(weights=str(tmp_path)))
    clip = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    clip[0, 0, 0] = 255
    given = processor([list(clip.numpy())], do_resize=False, do_center_crop=False, return_tensors="pt")
    found = normalise(clip, encoder.mean, encoder.std, torch.float32)
    torch.testing.assert_close(found, given["pixel_values"][0].float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "network",
    [
        {**TestVideoPrism.options["network"], "num_temporal_layers": 0},
        {**TestVivit.options["network"], "num_hidden_layers": 0},
        {"model_type": "videomae", **TOWER, **LAYERS, "num_hidden_layers": 0},
        {"model_type": "vjepa2", **VJEPA2, "frames_per_clip": 4, "num_hidden_layers": 0},
    ],
    ids=lambda network: network["model_type"],
)
def test_tokens_come_frame_by_frame(network: dict[str, Any]) -> None:
    """Without layers that mix frames, what changes late in a clip changes late features only."""
    encoder = HfVideo(HfVideo.Config(network=network)).eval()
    calm = torch.zeros(1, 4, 3, 32, 32)
    lively = torch.cat([calm[:, :2], torch.randn(1, 2, 3, 32, 32)], dim=1)
    with torch.no_grad():
        change = (encoder.features(lively) - encoder.features(calm)).abs().amax((0, 2, 3))
    half = len(change) // 2
    assert change[:half].max() == 0 < change[half:].min()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": {"model_type": "timesformer", **TOWER, **LAYERS}}, "neither tubelets nor one token"),
        ({"network": {"model_type": "videomae", **TOWER, **LAYERS}, "frames": 8}, "makes no features"),
        ({"network": {"model_type": "videomae", **TOWER, **LAYERS}, "image_size": 64}, "doesn't match model"),
        ({"network": PE_VIDEO}, "does not say its frames"),
        ({"network": {"model_type": "videomae"}, "weights": "both"}, "give either"),
    ],
)
def test_errors_name_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises((GroundingError, ValueError), match=message):
        HfVideo.spec(HfVideo.Config.model_validate(options))
