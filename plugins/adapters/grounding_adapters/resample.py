"""V→L adapters that sum frames up in a fixed number of learned queries."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from grounding_adapters.attention import Attention, feed_forward, places
from grounding_core.interfaces.adapters import VisionAdapter
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.specs import EncoderSpec


class ResamplerConfig(ComponentConfig):
    """How many queries, what they look at, and how often."""

    queries: int = Field(default=32, ge=1, description="Tokens that come out, a frame or in all.")
    over: Literal["frame", "clip"] = Field(
        default="frame", description="Queries for each frame, or the same ones for all frames together."
    )
    layers: int = Field(default=2, ge=1, description="How often the queries look.")
    heads: int = Field(default=8, ge=1, description="Attention heads.")
    head_width: int = Field(default=64, ge=1, description="Width of a head.")


class Resampler(VisionAdapter):
    """Perceiver resampler (Flamingo, arXiv 2204.14198, section 3.1.1): queries are among the keys.

    Time is told by sines instead of learned vectors, so that any number of frames will do.
    """

    Config = ResamplerConfig
    self_attention = False

    def __init__(self, config: ResamplerConfig, *, source: EncoderSpec, width: int) -> None:
        super().__init__(config, source=source, width=width)
        self.over_clip = config.over == "clip"
        inner, heads = source.width, (config.heads, config.head_width)
        self.queries = nn.Parameter(torch.randn(config.queries, inner))
        self.looks = nn.ModuleList(Attention(inner, inner, *heads) for _ in range(config.layers))
        turns = config.layers if self.self_attention else 0
        self.talks = nn.ModuleList(Attention(inner, inner, *heads) for _ in range(turns))
        self.thinks = nn.ModuleList(feed_forward(inner) for _ in range(config.layers))
        self.norm = nn.LayerNorm(inner)
        self.project = nn.Linear(inner, width)

    @classmethod
    def num_tokens(cls, config: ResamplerConfig, source: EncoderSpec, frames: int) -> int:
        return config.queries * (1 if config.over == "clip" else frames // source.stride)

    def forward(self, features: Tensor) -> Tensor:
        b, t, _, width = features.shape
        if self.over_clip:
            keys = (features + places(t, width, features)[:, None]).flatten(1, 2)
        else:
            keys = features.flatten(0, 1)
        queries = self.queries.expand(len(keys), -1, -1)
        for index, look in enumerate(self.looks):
            if self.self_attention:
                queries = queries + self.talks[index](queries, queries)
                queries = queries + look(queries, keys)
            else:
                queries = queries + look(queries, torch.cat([keys, queries], dim=1))
            queries = queries + self.thinks[index](queries)
        tokens: Tensor = self.project(self.norm(queries))
        return tokens.reshape(b, -1, tokens.shape[-1])


class QFormer(Resampler):
    """Q-Former (BLIP-2, arXiv 2301.12597, section 3.1): queries attend to one another, then to the features.

    Without its text branch, and with cross-attention in every layer.
    """

    self_attention = True
