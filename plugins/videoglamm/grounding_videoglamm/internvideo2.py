"""InternVideo2's stage-2 vision encoder (arXiv 2403.15377), as VideoGLaMM uses it.

Module names follow the public checkpoint, so that its keys map one to one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.encoders import VideoEncoder
from grounding_core.interfaces.specs import EncoderSpec
from grounding_core.pixels import IMAGENET_MEAN, IMAGENET_STD, normalise
from grounding_videoglamm.images import squash


class InternVideo2Config(ComponentConfig):
    """Sizes of the tower. Defaults: Stage2-1B-224p-f4."""

    image_size: int = Field(default=224, description="Side of the square input in pixels.")
    patch_size: int = Field(default=14, description="Side of a patch in pixels.")
    frames: int = Field(default=4, description="Frames that are seen together.")
    tubelet: int = Field(default=1, ge=1, description="Frames that one patch spans; a divisor of `frames`.")
    width: int = Field(default=1408, description="Width of the tower.")
    layers: int = Field(
        default=39,
        description="Blocks that are run: the reference reads the second-to-last of 40 and skips the last.",
    )
    heads: int = Field(default=16, description="Attention heads.")
    mlp_ratio: float = Field(default=48 / 11, description="Width of the MLPs over the width of the tower.")
    layer_scale: float = Field(default=1e-5, description="Initial layer scale; a checkpoint overwrites it.")

    @model_validator(mode="after")
    def _check_tubelet(self) -> InternVideo2Config:
        if self.frames % self.tubelet:
            raise ValueError(f"frames {self.frames} is not a multiple of tubelet {self.tubelet}")
        return self


class RmsNorm(nn.Module):
    """Root-mean-square norm in fp32."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


class Attention(nn.Module):
    """Self-attention; queries and keys are normalised over the full width before the heads are split."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_norm = RmsNorm(width)
        self.k_norm = RmsNorm(width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k = self.q_norm(q), self.k_norm(k)
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (part.view(shape).transpose(1, 2) for part in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(x.shape))
        return out


class LayerScale(nn.Module):
    """A learned factor a channel."""

    def __init__(self, width: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Pre-norm transformer block with layer scale on both branches."""

    def __init__(self, config: InternVideo2Config) -> None:
        super().__init__()
        width = config.width
        self.norm1 = RmsNorm(width)
        self.attn = Attention(width, config.heads)
        self.ls1 = LayerScale(width, config.layer_scale)
        self.norm2 = RmsNorm(width)
        self.mlp = Mlp(width, int(width * config.mlp_ratio))
        self.ls2 = LayerScale(width, config.layer_scale)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        out: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out


class PatchEmbed(nn.Module):
    """Clips cut into patches of one or several frames."""

    def __init__(self, config: InternVideo2Config) -> None:
        super().__init__()
        size = (config.tubelet, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(3, config.width, kernel_size=size, stride=size)

    def forward(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.proj(pixels)
        return out.flatten(2).transpose(1, 2)


def sinusoids(width: int, frames: int, side: int) -> Tensor:
    """Initial position embeddings (frames * side * side, width).

    A quarter of the width tells the frame, the rest row and column. The public code starts from such
    embeddings too (``pos_embed.py``); a checkpoint overwrites them.
    """
    share = width // 8 * 2
    grid = torch.meshgrid(torch.arange(frames), torch.arange(side), torch.arange(side), indexing="ij")
    parts = []
    for place, size in zip(
        grid, (share, (width - share) // 2, width - share - (width - share) // 2), strict=True
    ):
        rates = 10000.0 ** -(torch.arange((size + 1) // 2) / max(size / 2, 1))
        angles = place.reshape(-1, 1) * rates
        parts.append(torch.cat([angles.sin(), angles.cos()], dim=1)[:, :size])
    return torch.cat(parts, dim=1)


class InternVideo2Encoder(VideoEncoder):
    """Features of the last block that is run, class token dropped, no final norm."""

    Config = InternVideo2Config

    def __init__(self, config: InternVideo2Config) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        side = config.image_size // config.patch_size
        start = sinusoids(config.width, config.frames // config.tubelet, side)
        self.pos_embed = nn.Parameter(F.pad(start, (0, 0, 1, 0))[None])
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))

    @classmethod
    def spec(cls, config: InternVideo2Config) -> EncoderSpec:
        side = config.image_size // config.patch_size
        return EncoderSpec(
            width=config.width,
            tokens=side * side,
            grid=(side, side),
            chunk=config.frames,
            stride=config.tubelet,
        )

    def pixels(self, clips: Sequence[Tensor]) -> Tensor:
        """Preprocessed clips (b, t, 3, size, size)."""
        weight, size = self.cls_token, self.config.image_size
        return torch.stack(
            [
                normalise(squash(clip.to(weight.device), size), IMAGENET_MEAN, IMAGENET_STD, weight.dtype)
                for clip in clips
            ]
        )

    def features(self, pixels: Tensor) -> Tensor:
        """Preprocessed clips (b, t, 3, size, size) -> features (b, t / tubelet, n, dv)."""
        b, t = pixels.shape[:2]
        frames = self.config.frames
        chunks = pixels.reshape(b * t // frames, frames, *pixels.shape[2:]).transpose(1, 2)
        x: Tensor = self.patch_embed(chunks)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return x[:, 1:].reshape(b, t // self.config.tubelet, -1, x.shape[-1])

    def forward(self, clips: Sequence[Tensor]) -> Tensor:
        return self.features(self.pixels(clips))
