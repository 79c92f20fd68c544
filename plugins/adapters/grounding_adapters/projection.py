"""V→L adapters that look at each token by itself."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from grounding_core.interfaces.adapters import VisionAdapter
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.specs import EncoderSpec


def perceptron(source: int, width: int, layers: int) -> nn.Sequential:
    """Linear layers from one width to another, with GELU between them."""
    modules: list[nn.Module] = [nn.Linear(source, width)]
    for _ in range(layers - 1):
        modules += [nn.GELU(), nn.Linear(width, width)]
    return nn.Sequential(*modules)


class LinearAdapter(VisionAdapter):
    """One linear layer on every token (LLaVA, arXiv 2304.08485, section 4.1)."""

    def __init__(self, config: ComponentConfig, *, source: EncoderSpec, width: int) -> None:
        super().__init__(config, source=source, width=width)
        self.project = nn.Linear(source.width, width)

    @classmethod
    def num_tokens(cls, config: ComponentConfig, source: EncoderSpec, frames: int) -> int:
        return frames // source.stride * source.tokens

    def forward(self, features: Tensor) -> Tensor:
        tokens: Tensor = self.project(features)
        return tokens.flatten(1, 2)


class MlpConfig(ComponentConfig):
    """Depth of the projection."""

    layers: int = Field(default=2, ge=2, description="Linear layers.")


class MlpAdapter(VisionAdapter):
    """Linear layers with GELU between them on every token (LLaVA 1.5, arXiv 2310.03744, section 3.3)."""

    Config = MlpConfig

    def __init__(self, config: MlpConfig, *, source: EncoderSpec, width: int) -> None:
        super().__init__(config, source=source, width=width)
        self.project = perceptron(source.width, width, config.layers)

    @classmethod
    def num_tokens(cls, config: MlpConfig, source: EncoderSpec, frames: int) -> int:
        return frames // source.stride * source.tokens

    def forward(self, features: Tensor) -> Tensor:
        tokens: Tensor = self.project(features)
        return tokens.flatten(1, 2)
