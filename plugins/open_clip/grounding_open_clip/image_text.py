"""Whole CLIP models of open_clip as image–text component: crops of objects against phrases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from PIL import Image
from pydantic import Field

from grounding_core.device import default_device
from grounding_core.errors import CheckpointError
from grounding_core.interfaces.component import ComponentConfig, Configured
from grounding_open_clip.encoder import OpenClipConfig, create

KNOWN = 4096
"""Phrases whose directions are kept."""


class ImageTextConfig(ComponentConfig):
    """Which model, and how a phrase is put."""

    model: str = Field(
        description="open_clip's model name (ViT-B-32), `hf-hub:ORG/NAME`, or a folder with "
        "open_clip_config.json and weights in the hub's layout."
    )
    pretrained: str | None = Field(
        default=None, description="Pretrained tag (laion2b_s34b_b79k) or weights file of a named model."
    )
    template: str = Field(default="a photo of {text}", description="How a phrase is written for the model.")


class Sight(Protocol):
    """What is compared: it has a picture of an object."""

    @property
    def crop(self) -> npt.NDArray[np.uint8]:
        """uint8 RGB (h, w, 3)."""


class OpenClipImageText(Configured):
    """Cosines between the crop of an object and phrases."""

    Config = ImageTextConfig

    def __init__(self, config: ImageTextConfig) -> None:
        self._config = config
        self._parts: tuple[Any, Any, Any] | None = None
        self._known: dict[str, npt.NDArray[np.float64]] = {}

    def similarity(self, sights: Sequence[Sight], words: Sequence[str]) -> npt.NDArray[np.float64]:
        """(sights, words) in [-1, 1]."""
        if not sights or not words:
            return np.zeros((len(sights), len(words)))
        model, preprocess, _ = self._load()
        device = next(model.parameters()).device
        pictures = torch.stack([preprocess(Image.fromarray(sight.crop)) for sight in sights])
        with torch.inference_mode():
            seen = model.encode_image(pictures.to(device), normalize=True).float().cpu().numpy()
        return np.asarray(seen @ np.stack([self._direction(text) for text in words]).T, dtype=np.float64)

    def _direction(self, text: str) -> npt.NDArray[np.float64]:
        if text not in self._known:
            model, _, tokenize = self._load()
            ids = tokenize([self._config.template.replace("{text}", text)])
            with torch.inference_mode():
                direction = model.encode_text(ids.to(next(model.parameters()).device), normalize=True)
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[text] = np.asarray(direction[0].float().cpu().numpy(), dtype=np.float64)
        return self._known[text]

    def _load(self) -> tuple[Any, Any, Any]:
        if self._parts is None:
            config = self._config
            model = create(OpenClipConfig(model=config.model, pretrained=config.pretrained), text=True)
            model = model.to(default_device()).eval()
            visual = model.visual
            preprocess = open_clip.transform.image_transform_v2(
                open_clip.transform.PreprocessCfg(**visual.preprocess_cfg), is_train=False
            )
            name = config.model if ":" in config.model or config.model in open_clip.list_models() else None
            try:
                tokenize = open_clip.get_tokenizer(name or f"local-dir:{config.model}")
            except (OSError, ValueError, RuntimeError) as error:
                problem = f"The tokenizer of open_clip's {config.model} can't be made: {error}"
                raise CheckpointError(problem, "Put it into the model's folder.") from error
            self._parts = model, preprocess, tokenize
        return self._parts
