"""Frames that match the question, by a dual encoder of transformers (CLIP, SigLIP, ...)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from grounding_core.hub import from_pretrained
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.frame_selector import FrameSelector
from grounding_core.pixels import CLIP_MEAN, CLIP_STD, squares
from grounding_core.types import Query
from grounding_core.video import Video, sample_indices


class TextMatchConfig(ComponentConfig):
    """Which model compares, and how many frames are looked at."""

    weights: str = Field(description="Hub id or folder of a dual encoder with its tokenizer.")
    candidates: int = Field(
        default=64, ge=2, description="Frames looked at, evenly spread; the best of them are taken."
    )
    batch: int = Field(default=16, ge=1, description="Frames that are compared together.")


class TextMatch(FrameSelector):
    """The frames whose embeddings are nearest to the question's; evenly spread ones without a question."""

    Config = TextMatchConfig
    uses_query = True

    def __init__(self, config: TextMatchConfig) -> None:
        super().__init__(config)
        from transformers import AutoModel, AutoTokenizer

        self.model: Any = from_pretrained(
            AutoModel.from_pretrained, config.weights, what="Dual encoder"
        ).eval()
        self.tokenizer: Any = from_pretrained(AutoTokenizer.from_pretrained, config.weights, what="Tokenizer")
        self.size: int = self.model.config.vision_config.image_size

    @torch.inference_mode()
    def select(self, video: Video, query: Query | None, count: int) -> list[int]:
        if query is None or not query.text.strip() or len(video) <= count:
            return sample_indices(len(video), count)
        looked_at = sorted(set(sample_indices(len(video), max(self.config.candidates, count))))
        words = self.tokenizer([query.text], return_tensors="pt", truncation=True)
        wanted = _unit(self.model.get_text_features(**words))
        scores = [
            _unit(self.model.get_image_features(pixel_values=self._pixels(video, part))) @ wanted[0]
            for part in torch.tensor(looked_at).split(self.config.batch)
        ]
        best = torch.cat(scores).topk(count).indices.tolist()
        return sorted(looked_at[place] for place in best)

    def _pixels(self, video: Video, indices: Tensor) -> Tensor:
        frames = torch.from_numpy(video.frames(indices.tolist()))
        like = next(self.model.parameters())
        return squares([frames], self.size, "stretch", CLIP_MEAN, CLIP_STD, like)[0]


def _unit(found: Any) -> Tensor:
    """Embeddings (n, d) of length 1; newer releases of transformers wrap them in an output."""
    embeddings: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    lengths: Tensor = embeddings.norm(dim=-1, keepdim=True)
    return embeddings / lengths
