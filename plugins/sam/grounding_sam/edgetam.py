"""EdgeTAM (arXiv 2501.07256) as mask decoder: SAM 2 with a small encoder and a resampled memory."""

from __future__ import annotations

import torch
from grounding_videoglamm.sam2_memory import Memory
from torch import Tensor
from transformers import EdgeTamVideoConfig, EdgeTamVideoModel

from grounding_core.pixels import IMAGENET_MEAN, IMAGENET_STD
from grounding_sam.weights import PublishedTracker


class ResampledMemory(Memory):
    """What is remembered of a frame goes through a perceiver (section 3.2)."""

    def tokens(self, features: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        one = features.split(1), position.split(1)  # the perceiver of transformers takes one object at a time
        pairs = [self.network.spatial_perceiver(*pair) for pair in zip(*one, strict=True)]
        latents, where = (torch.cat(parts).transpose(0, 1) for parts in zip(*pairs, strict=True))
        return latents, where

    def repeats(self, frames: int) -> dict[str, int]:
        return {"num_spatial_memory_tokens": frames}


class EdgeTamDecoder(PublishedTracker):
    """EdgeTAM whose sparse prompt is an embedding, a box, points or a mask."""

    networks = (EdgeTamVideoConfig, EdgeTamVideoModel)
    what = "EdgeTAM weights"
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    memory_class = ResampledMemory
