"""Two-tower models of transformers (CLIP, SigLIP 2, ...) as image–text component: crops against phrases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from grounding_core.device import default_device
from grounding_core.hub import from_pretrained
from grounding_core.interfaces.component import ComponentConfig, Configured
from grounding_hf.networks import dual_encoder


class ImageTextConfig(ComponentConfig):
    """Which model, and how a phrase is put."""

    weights: str = Field(description="Hub id or folder of a model with both towers and its processor.")
    template: str = Field(default="a photo of {text}", description="How a phrase is written for the model.")


class Sight(Protocol):
    """What is compared: it has a picture of an object."""

    @property
    def crop(self) -> npt.NDArray[np.uint8]:
        """uint8 RGB (h, w, 3)."""


class HfImageText(Configured):
    """The model's own logits of the crop of an object and phrases."""

    Config = ImageTextConfig

    def __init__(self, config: ImageTextConfig) -> None:
        self._config = config
        self._parts: tuple[Any, Any] | None = None

    def similarity(self, sights: Sequence[Sight], words: Sequence[str]) -> npt.NDArray[np.float64]:
        """(sights, words): larger where they fit better."""
        if not sights or not words:
            return np.zeros((len(sights), len(words)))
        model, processor = self._load()
        texts = [self._config.template.replace("{text}", text) for text in words]
        # SigLIP was trained on texts of full length; masks make that the same for CLIP.
        given = processor(
            text=texts,
            images=[sight.crop for sight in sights],
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            logits = model(**given.to(model.device)).logits_per_image
        return np.asarray(logits.float().cpu().numpy(), dtype=np.float64)

    def _load(self) -> tuple[Any, Any]:
        if self._parts is None:
            from transformers import AutoProcessor

            source = self._config.weights
            model = dual_encoder(source, use_safetensors=True)
            processor = from_pretrained(AutoProcessor.from_pretrained, source, what="Processor")
            self._parts = model.to(default_device()), processor
        return self._parts
