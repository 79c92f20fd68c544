"""The converter of Sa2VA's decoder side (arXiv 2501.04001): SAM 2 fed by ``[SEG]`` states.

What is made is the part of a recipe, and of its weights, from a ``[SEG]`` state to masks. Complete it with
``extends``; the model as it is published is `grounding_sa2va.model.Sa2va`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from grounding_videoglamm.adapters import MlpPromptAdapter
from grounding_videoglamm.convert import sam2_options
from grounding_videoglamm.sam2 import Sam2Decoder
from torch import nn

from grounding_core.errors import CheckpointError
from grounding_core.interfaces.converter import Converter, Facts, Shape
from grounding_sa2va.layout import ADAPTER, DECODER_RULES, SAM2

DECODING = {"mode": "memory", "prompted_frames": 5, "hide_absent": False, "binary_memory": False}
"""What the published code does with SAM 2, beside its sizes."""


class Sa2vaDecoderConverter(Converter):
    """Sa2VA's L→V adapter and SAM 2. Its ``[SEG]`` state is the one after reading the token."""

    about = "Sa2VA's decoder side"
    rules = DECODER_RULES

    def __init__(self) -> None:
        self._width = 0

    def read(self, config: Mapping[str, Any], shapes: Mapping[str, Shape]) -> Facts:
        if ADAPTER not in shapes or not any(key.startswith(SAM2) for key in shapes):
            raise CheckpointError(
                f"This is no Sa2VA checkpoint: {ADAPTER} or {SAM2}* is missing.",
                "Name the folder of a published Sa2VA model.",
            )
        self._width = shapes[ADAPTER][1]
        recipe = {
            "name": "sa2va-decoder",
            "description": "Sa2VA from a [SEG] state to masks; add the parts before it",
            "prompt_adapter": {"type": "mlp"},
            "mask_decoder": {"type": "sam2", **DECODING, **sam2_options(config)},
            "seg": {"token": "[SEG]", "state": "consuming", "norm": "after"},
        }
        return Facts(recipe, ("language_model.{x}", "vision_model.{x}", "mlp1.{x}"))

    def shapes(self, recipe: Mapping[str, Any]) -> Mapping[str, Shape]:
        options = {key: value for key, value in recipe["mask_decoder"].items() if key != "type"}
        config = Sam2Decoder.Config.model_validate(options)
        with torch.device("meta"):
            adapter = MlpPromptAdapter(
                MlpPromptAdapter.Config(), width=self._width, target=Sam2Decoder.spec(config)
            )
            parts = nn.ModuleDict({"prompt_adapter": adapter, "mask_decoder": Sam2Decoder(config)})
        return {key: tuple(value.shape) for key, value in parts.state_dict().items()}
