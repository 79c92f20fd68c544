"""L→V adapters beyond one token of one state."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from grounding_adapters.attention import Attention, feed_forward
from grounding_core.interfaces.adapters import PromptAdapter
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.specs import DecoderSpec


class AttentionConfig(ComponentConfig):
    """Size of the attention."""

    layers: int = Field(default=1, ge=1, description="How often tokens attend.")
    heads: int = Field(default=8, ge=1, description="Attention heads.")
    head_width: int = Field(default=32, ge=1, description="Width of a head.")


class MultiToken(PromptAdapter):
    """As many prompt tokens as the decoder takes: the state plus learned vectors, attending to one another.

    A decoder says how many it takes; SAM 2's option is ``prompt_tokens``.
    """

    Config = AttentionConfig

    def __init__(self, config: AttentionConfig, *, width: int, target: DecoderSpec) -> None:
        super().__init__(config, width=width, target=target)
        inner, heads = target.prompt_width, (config.heads, config.head_width)
        self.project = nn.Linear(width, inner)
        self.tokens = nn.Parameter(torch.randn(target.prompt_tokens, inner))
        self.talks = nn.ModuleList(Attention(inner, inner, *heads) for _ in range(config.layers))
        self.thinks = nn.ModuleList(feed_forward(inner) for _ in range(config.layers))

    def forward(self, states: Tensor) -> Tensor:
        prompts: Tensor = self.project(states)[:, None] + self.tokens
        for talk, think in zip(self.talks, self.thinks, strict=True):
            prompts = prompts + talk(prompts, prompts)
            prompts = prompts + think(prompts)
        return prompts


class LookAgain(PromptAdapter):
    """The state attends to the visual tokens that the language model read, and then becomes a prompt.

    A token of its own stands among them, for videos that have none (training on text alone).
    """

    Config = AttentionConfig
    sees_frames = True

    def __init__(self, config: AttentionConfig, *, width: int, target: DecoderSpec) -> None:
        super().__init__(config, width=width, target=target)
        self.shape = (target.prompt_tokens, target.prompt_width)
        heads = (config.heads, config.head_width)
        self.nothing = nn.Parameter(torch.randn(width))
        self.looks = nn.ModuleList(Attention(width, width, *heads) for _ in range(config.layers))
        self.thinks = nn.ModuleList(feed_forward(width) for _ in range(config.layers))
        self.project = nn.Linear(width, target.prompt_tokens * target.prompt_width)

    def forward(self, states: Tensor, frames: Tensor) -> Tensor:  # type: ignore[override]  # as sees_frames says
        keys = torch.cat([self.nothing.expand(len(states), 1, -1), frames], dim=1)
        queries = states[:, None]
        for look, think in zip(self.looks, self.thinks, strict=True):
            queries = queries + look(queries, keys)
            queries = queries + think(queries)
        prompts: Tensor = self.project(queries[:, 0]).unflatten(1, self.shape)
        return prompts
