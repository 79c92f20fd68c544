"""A V→L adapter that merges tokens which look alike."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from grounding_adapters.projection import perceptron
from grounding_core.errors import GroundingError
from grounding_core.interfaces.adapters import VisionAdapter
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.specs import EncoderSpec


class TokenMergeConfig(ComponentConfig):
    """How many tokens are left."""

    keep: int = Field(default=64, ge=1, description="Tokens of a frame that are left.")
    layers: int = Field(default=2, ge=1, description="Linear layers of the projection.")


class TokenMerge(VisionAdapter):
    """Bipartite soft matching (ToMe, arXiv 2210.09461, section 3) within each frame, then an MLP."""

    Config = TokenMergeConfig

    def __init__(self, config: TokenMergeConfig, *, source: EncoderSpec, width: int) -> None:
        super().__init__(config, source=source, width=width)
        self.keep = config.keep
        self.project = perceptron(source.width, width, config.layers)

    @classmethod
    def num_tokens(cls, config: TokenMergeConfig, source: EncoderSpec, frames: int) -> int:
        if config.keep > source.tokens:
            raise GroundingError(
                f"keep {config.keep} is more than the encoder's {source.tokens} tokens a frame.",
                "Keep fewer, or use the adapter mlp.",
            )
        return frames // source.stride * config.keep

    def forward(self, features: Tensor) -> Tensor:
        b = len(features)
        merged = merge(features.flatten(0, 1), self.keep)
        tokens: Tensor = self.project(merged)
        return tokens.reshape(b, -1, tokens.shape[-1])


def merge(tokens: Tensor, keep: int) -> Tensor:
    """Tokens (f, n, d) -> (f, keep, d): the most similar ones become their mean; their order stays."""
    frames, count, width = tokens.shape
    sizes = tokens.new_ones(frames, count, 1)
    while count > keep:
        dropped = min(count // 2, count - keep)
        # Every second token is a candidate; each looks for its most similar one among the others.
        given, taken = tokens[:, ::2], tokens[:, 1::2]
        with torch.no_grad():
            alike = F.normalize(given, dim=-1) @ F.normalize(taken, dim=-1).transpose(1, 2)
            best, partner = alike.max(-1)
            order = best.argsort(dim=-1, descending=True, stable=True)
            gone, stays = order[:, :dropped], order[:, dropped:].sort(-1).values
            target = partner.gather(1, gone)[..., None]
            even, odd = torch.arange(0, count, 2), torch.arange(1, count, 2)
            place = torch.cat([even.to(stays.device)[stays], odd.to(stays.device).expand(frames, -1)], dim=1)
        mass = tokens * sizes
        mass_given, mass_taken = mass[:, ::2], mass[:, 1::2]
        size_given, size_taken = sizes[:, ::2], sizes[:, 1::2]
        mass_taken = mass_taken.scatter_add(1, target.expand(-1, -1, width), _pick(mass_given, gone))
        size_taken = size_taken.scatter_add(1, target, _pick(size_given, gone))
        back = place.argsort(-1)
        sizes = _pick(torch.cat([_pick(size_given, stays), size_taken], dim=1), back)
        tokens = _pick(torch.cat([_pick(mass_given, stays), mass_taken], dim=1), back) / sizes
        count -= dropped
    return tokens


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Rows (f, i, d) of values (f, n, d)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
