"""VideoGLaMM's adapters: V→L projects and then pools, L→V makes one prompt of one state."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from grounding_core.errors import GroundingError
from grounding_core.interfaces.adapters import PromptAdapter, VisionAdapter
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.specs import DecoderSpec, EncoderSpec
from grounding_videoglamm.mimetic import mark_visual

PLACE_SPREAD = 0.05
"""Standard deviation of first embeddings of places."""


class MlpPoolConfig(ComponentConfig):
    """How far the patch grid is pooled."""

    grid: tuple[int, int] | None = Field(
        default=None, description="Patch grid (rows, columns) after pooling; null: no pooling."
    )
    pool_images: bool = Field(default=True, description="Pool a single image too; the reference does not.")
    places: int | None = Field(
        default=None,
        ge=1,
        description="Tokens get learned embeddings of so many time steps of a clip, interpolated for other "
        "counts, and of row and column; null: none, as in the reference.",
    )


class MlpPoolAdapter(VisionAdapter):
    """Linear, GELU, linear, and then adaptive average pooling (the reference's order)."""

    Config = MlpPoolConfig
    needs_grid = True

    def __init__(self, config: MlpPoolConfig, *, source: EncoderSpec, width: int) -> None:
        super().__init__(config, source=source, width=width)
        self.config = config
        self.source = source
        self.project = nn.Sequential(nn.Linear(source.width, width), nn.GELU(), nn.Linear(width, width))
        self.places = nn.ParameterList()
        if config.places is not None:
            grid = self.grid(config, source)
            assert grid is not None  # plan() has checked
            self.places.extend(
                nn.Parameter(PLACE_SPREAD * torch.randn(size, width)) for size in (config.places, *grid)
            )
            mark_visual(self.places[0])

    @classmethod
    def num_tokens(cls, config: MlpPoolConfig, source: EncoderSpec, frames: int) -> int:
        whole = frames == source.stride and not config.pool_images
        grid = source.grid if config.grid is None or whole else config.grid
        assert source.grid is not None and grid is not None  # plan() has checked
        if grid[0] > source.grid[0] or grid[1] > source.grid[1]:
            raise GroundingError(
                f"grid {grid} is finer than the encoder's {source.grid}.", "Pool to a coarser grid."
            )
        return frames // source.stride * grid[0] * grid[1]

    @classmethod
    def grid(cls, config: MlpPoolConfig, source: EncoderSpec) -> tuple[int, int] | None:
        return config.grid or source.grid

    def forward(self, features: Tensor) -> Tensor:
        tokens: Tensor = self.project(features)
        b, t, _, width = tokens.shape
        if self.config.grid is not None and (t > 1 or self.config.pool_images):
            assert self.source.grid is not None
            grid = tokens.flatten(0, 1).transpose(1, 2).unflatten(2, self.source.grid)
            tokens = F.adaptive_avg_pool2d(grid, self.config.grid).flatten(2).transpose(1, 2)
        tokens = tokens.reshape(b, t, -1, width)
        if len(self.places):
            times, rows, columns = self.places
            if t != len(times):
                times = F.interpolate(times.T[None], t, mode="linear", align_corners=True)[0].T
            tokens = tokens + times[:, None] + (rows[:, None] + columns).flatten(0, 1)
        return tokens.flatten(1, 2)


class MlpPromptConfig(ComponentConfig):
    """What happens to the states first."""

    centre: bool = Field(
        default=False,
        description="Batch-normalise the states. All of them predict the same token, so in a network trained "
        "from scratch what they share drowns what tells them apart; the reference fine-tunes and does not.",
    )


class MlpPromptAdapter(PromptAdapter):
    """Linear, ReLU, linear (the reference's ``text_hidden_fcs``)."""

    Config = MlpPromptConfig

    def __init__(self, config: MlpPromptConfig, *, width: int, target: DecoderSpec) -> None:
        super().__init__(config, width=width, target=target)
        self.target = target
        self.centre = nn.BatchNorm1d(width, affine=False, momentum=0.05) if config.centre else None
        self.project = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, target.prompt_tokens * target.prompt_width)
        )

    def forward(self, states: Tensor) -> Tensor:
        if self.centre is not None:
            mean, variance = self.centre.running_mean, self.centre.running_var
            learn = self.training and len(states) > 1  # one state has no spread
            states = F.batch_norm(
                states, mean, variance, training=learn, momentum=self.centre.momentum or 0.0
            )
        prompts: Tensor = self.project(states)
        return prompts.view(-1, self.target.prompt_tokens, self.target.prompt_width)
