"""Frames that match the question, by a dual encoder of transformers (CLIP, SigLIP, ...)."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from grounding_core.errors import CheckpointError
from grounding_core.hub import from_pretrained
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.frame_selector import FrameSelector
from grounding_core.pixels import squares
from grounding_core.types import Query
from grounding_core.video import Video, sample_indices
from grounding_hf.image import own_size, patches
from grounding_hf.networks import dual_encoder, normalisation_of

FULL_LENGTH = ("siglip", "siglip2")
"""Kinds of models whose text is summed up at its last position: they were trained on texts padded to it."""


class TextMatchConfig(ComponentConfig):
    """Which model compares, and how many frames are looked at."""

    weights: str = Field(description="Hub id or folder of a dual encoder with tokenizer and image processor.")
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
        from transformers import AutoTokenizer

        self.model: Any = dual_encoder(config.weights)
        self.tokenizer: Any = from_pretrained(AutoTokenizer.from_pretrained, config.weights, what="Tokenizer")
        found = self.model.config
        size = own_size(found.vision_config)
        if size is None:
            raise CheckpointError(
                f"The vision tower of {config.weights} does not say its image_size.", "Use another model."
            )
        self.size: int = size
        self.mean, self.std = normalisation_of(
            config.weights, "Add the file, as it is published with the weights."
        )
        positions = getattr(found.text_config, "max_position_embeddings", self.tokenizer.model_max_length)
        self.words: dict[str, Any] = {
            "truncation": True,
            "max_length": min(positions, self.tokenizer.model_max_length),
            "padding": "max_length" if found.model_type in FULL_LENGTH else False,
        }

    @torch.inference_mode()
    def select(self, video: Video, query: Query | None, count: int) -> list[int]:
        if query is None or not query.text.strip() or len(video) <= count:
            return sample_indices(len(video), count)
        looked_at = sorted(set(sample_indices(len(video), max(self.config.candidates, count))))
        words = self.tokenizer([query.text], return_tensors="pt", **self.words)
        wanted = _unit(self.model.get_text_features(**words))
        scores = [
            _unit(self.model.get_image_features(**self._seen(video, part))) @ wanted[0]
            for part in torch.tensor(looked_at).split(self.config.batch)
        ]
        best = torch.cat(scores).topk(count).indices.tolist()
        return sorted(looked_at[place] for place in best)

    def _seen(self, video: Video, indices: Tensor) -> dict[str, Any]:
        frames = torch.from_numpy(video.frames(indices.tolist()))
        like = next(self.model.parameters())
        pixels = squares([frames], self.size, "stretch", self.mean, self.std, like)[0]
        if "spatial_shapes" in inspect.signature(self.model.get_image_features).parameters:
            return patches(pixels, self.model.config.vision_config.patch_size)
        return {"pixel_values": pixels}


def _unit(found: Any) -> Tensor:
    """Embeddings (n, d) of length 1; newer releases of transformers wrap them in an output."""
    embeddings: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    lengths: Tensor = embeddings.norm(dim=-1, keepdim=True)
    return embeddings / lengths
