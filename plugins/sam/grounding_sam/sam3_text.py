"""SAM 3 (arXiv 2511.16719) asked by text: its detector finds masks, its tracker or another follows them."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, Sam3Model

from grounding_core.hub import from_pretrained
from grounding_core.interfaces.spatial_prompts import SpatialPrompts
from grounding_core.pixels import normalise, resize
from grounding_sam.finding import Finder, FindingConfig, FindThenTrack, Found
from grounding_sam.sam3 import HALF

WHAT = "SAM 3 weights"
TEXT_TOKENS = 32


class Sam3Detector(Finder):
    """Masks of what a short text names; the whole text names each."""

    def __init__(self, config: FindingConfig) -> None:
        super().__init__()
        self.config = config
        self.network = from_pretrained(Sam3Model.from_pretrained, config.weights, what=WHAT)
        self.tokenizer = from_pretrained(
            AutoTokenizer.from_pretrained, config.weights, what=WHAT, needs="tokenizer_config.json"
        )
        self.size: int = self.network.config.image_size

    def look(self, frames: Tensor) -> Any:
        """Image features of uint8 frames (t, H, W, 3), one at a time: each takes much memory."""
        square = resize(frames, (self.size, self.size), "bilinear")
        pixels = normalise(square, HALF, HALF, self.network.dtype).to(self.network.device)
        return [self.network.get_vision_features(pixel_values=frame[None]) for frame in pixels]

    def find(self, seen: Any, text: str, size: tuple[int, int]) -> list[Found]:
        """See `Finder.find`; texts of more than 32 tokens are cut, as the network reads no more."""
        tokens = self.tokenizer(
            [text], padding="max_length", truncation=True, max_length=TEXT_TOKENS, return_tensors="pt"
        ).to(self.network.device)
        found = []
        for features in seen:
            output = self.network(
                vision_embeds=features, input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
            scores = output.pred_logits[0].float().sigmoid() * output.presence_logits[0].float().sigmoid()
            kept = scores > self.config.threshold
            if not kept.any():
                found.append(Found(np.zeros(0), (), None))
                continue
            logits = F.interpolate(output.pred_masks[:, kept].float(), size=size, mode="bilinear")[0]
            spans = [(0, len(text))] * len(logits)
            prompts = SpatialPrompts(masks=(logits > 0).cpu().numpy())
            found.append(Found(scores[kept].cpu().numpy(), spans, prompts))
        return found


class Sam3Text(FindThenTrack):
    """SAM 3's detector and a tracker."""

    Config = FindingConfig

    def __init__(self, config: FindingConfig) -> None:
        super().__init__(config, Sam3Detector(config))
