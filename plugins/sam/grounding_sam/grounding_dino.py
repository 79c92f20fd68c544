"""Grounding DINO (arXiv 2303.05499) finds boxes, a tracker makes masks of them: Grounded SAM 2's pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, GroundingDinoForObjectDetection

from grounding_core.hub import from_pretrained
from grounding_core.interfaces.spatial_prompts import SpatialPrompts
from grounding_sam.finding import Finder, FindingConfig, FindThenTrack, Found

WHAT = "Grounding DINO weights"


class GroundingDinoConfig(FindingConfig):
    """What finds, what tracks, and where to look."""

    text_threshold: float = Field(
        default=0.25, ge=0, lt=1, description="Lowest score of a word that belongs to an object."
    )


class GroundingDino(Finder):
    """Boxes of what a text names, and the words that name it."""

    def __init__(self, config: GroundingDinoConfig) -> None:
        super().__init__()
        self.config = config
        source = config.weights
        self.network = from_pretrained(GroundingDinoForObjectDetection.from_pretrained, source, what=WHAT)
        self.tokenizer = from_pretrained(
            AutoTokenizer.from_pretrained, source, what=WHAT, needs="tokenizer_config.json"
        )
        self.processor = from_pretrained(
            AutoImageProcessor.from_pretrained, source, what=WHAT, needs="preprocessor_config.json"
        )

    def look(self, frames: Tensor) -> Any:
        """Pixel values of uint8 frames (t, H, W, 3), as the checkpoint's own image processor makes them."""
        return self.processor(images=list(frames.permute(0, 3, 1, 2)), return_tensors="pt").to(
            self.network.device
        )

    def find(self, seen: Any, text: str, size: tuple[int, int]) -> list[Found]:
        """See `Finder.find`. A text is closed by a full stop, as in training."""
        asked = text if text.rstrip().endswith(".") else f"{text.rstrip()} ."
        tokens = self.tokenizer(
            [asked],
            return_offsets_mapping=True,
            truncation=True,
            max_length=self.network.config.max_text_len,
            return_tensors="pt",
        )
        places = tokens.pop("offset_mapping")[0].clamp(max=len(text.rstrip()))
        found = []
        for pixels, mask in zip(seen["pixel_values"], seen["pixel_mask"], strict=True):
            output = self.network(
                pixel_values=pixels[None], pixel_mask=mask[None], **tokens.to(self.network.device)
            )
            found.append(self._found(output.logits[0], output.pred_boxes[0], places, text, size))
        return found

    def _found(
        self, logits: Tensor, boxes: Tensor, places: Tensor, text: str, size: tuple[int, int]
    ) -> Found:
        """Boxes above the threshold.

        Args:
            logits: (q, tokens) of each box and token; those beyond the text are -inf.
            boxes: (q, 4) centre, width and height, relative to the frame.
            places: (n, 2) characters of each token; empty ones are no words.
            text: the text.
            size: (H, W) of the frame.
        """
        words = places[:, 1] > places[:, 0]
        scores = logits[:, : len(places)].float().sigmoid().cpu().masked_fill(~words, 0)
        best = scores.amax(1)
        kept = best > self.config.threshold
        if not kept.any():
            return Found(np.zeros(0), (), None)
        spans = []
        for row in scores[kept]:
            own = places[(row > self.config.text_threshold) | (row == row.max())]
            begin, end = int(own[:, 0].min()), int(own[:, 1].max())
            spans.append((begin, end) if end > begin else (0, len(text)))
        height, width = size
        centre, extent = boxes[kept.to(boxes.device)].float().cpu().split(2, dim=1)
        corners = torch.cat([centre - extent / 2, centre + extent / 2], dim=1).clamp(0, 1)
        corners = corners * torch.tensor([width, height, width, height])
        return Found(best[kept].numpy(), spans, SpatialPrompts(boxes=corners.numpy()))


class GroundingDinoSam2(FindThenTrack):
    """Grounding DINO and a tracker."""

    Config = GroundingDinoConfig

    def __init__(self, config: GroundingDinoConfig) -> None:
        super().__init__(config, GroundingDino(config))
