"""VideoGLaMM's parts keep the contracts of their roles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grounding_videoglamm.standin import numbered_tokenizer

from grounding_core.interfaces.specs import EncoderSpec
from grounding_core.testing import (
    ImageEncoderConformance,
    LanguageModelConformance,
    MaskDecoderConformance,
    PromptAdapterConformance,
    VideoEncoderConformance,
    VisionAdapterConformance,
)

CLIP = {"image_size": 28, "patch_size": 14, "width": 16, "layers": 2, "heads": 2, "mlp_width": 24}


class TestClip(ImageEncoderConformance):
    name = "clip"
    options = CLIP


class TestInternVideo2(VideoEncoderConformance):
    name = "internvideo2"
    options = {"image_size": 28, "width": 16, "layers": 2, "heads": 2, "mlp_ratio": 2, "layer_scale": 0.5}


class TestMlpPool(VisionAdapterConformance):
    name = "mlp_pool"
    options = {"grid": [2, 3]}


class TestMlpPoolOfSingleImages(VisionAdapterConformance):
    name = "mlp_pool"
    options = {"grid": [2, 3], "pool_images": False}


class TestMlpWithoutPooling(VisionAdapterConformance):
    name = "mlp_pool"
    sources = (EncoderSpec(width=16, tokens=15, grid=(3, 5)),)


class TestPhi3(LanguageModelConformance):
    name = "phi3"
    texts = ("w7 w12", "w3 w30 w22 w9")

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        numbered_tokenizer(folder, 40, special={38: "[SEG]"}, start=1, end=2)
        sizes = {"width": 16, "mlp_width": 24, "layers": 2, "heads": 2, "context": 64, "vocabulary": 40}
        return {**sizes, "tokenizer": str(folder), "init_std": 0.3}


class TestPhi3WithAWindow(TestPhi3):
    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        return {**super().make_options(folder), "sliding_window": 4, "kv_heads": 1}


class TestPromptMlp(PromptAdapterConformance):
    name = "mlp"


class TestCentredPromptMlp(PromptAdapterConformance):
    name = "mlp"
    options = {"centre": True}


SAM2 = {
    "image_size": 64,
    "trunk_width": 8,
    "trunk_heads": 1,
    "stages": [1, 1, 2, 1],
    "windows": [8, 4, 8, 4],
    "global_blocks": [3],
    "background": [3, 3],
    "width": 64,
    "mlp_width": 32,
    "memory_layers": 1,
    "init_std": 0.1,
}
UNTAUGHT = (
    "network.mask_downsample*",
    "network.no_memory_positional_encoding",
    "network.prompt_encoder.*",
    "network.mask_decoder.iou_prediction_head.*",
)
MEMORY = ("network.memory_*", "network.object_pointer_proj*", "network.no_object_pointer")


class TestSam2Framewise(MaskDecoderConformance):
    name = "sam2"
    options = {**SAM2, "mode": "framewise"}
    unreached = (*UNTAUGHT, *MEMORY)
    tolerance = 2e-3


class TestSam2WithMemory(MaskDecoderConformance):
    name = "sam2"
    options = {**SAM2, "mode": "memory", "trained_by": "memory", "prompt_tokens": 2}
    unreached = UNTAUGHT
    tolerance = 2e-3
