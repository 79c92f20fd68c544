"""CLIP's vision transformer as image encoder (paper, section 3.1; transformers' CLIPVisionModel)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel

from grounding_core.hub import from_pretrained
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.encoders import ImageEncoder
from grounding_core.interfaces.specs import EncoderSpec
from grounding_core.pixels import CLIP_MEAN, CLIP_STD, normalise, short_side_crop


class ClipConfig(ComponentConfig):
    """Sizes of the tower; or ``weights``, which brings its own."""

    weights: str | None = Field(
        default=None, description="Hub id or folder of a CLIP model; overrides the sizes below."
    )
    image_size: int = Field(default=336, description="Side of the square input in pixels.")
    patch_size: int = Field(default=14, description="Side of a patch in pixels.")
    width: int = Field(default=1024, description="Width of the tower.")
    layers: int = Field(default=24, description="Layers of the tower.")
    heads: int = Field(default=16, description="Attention heads.")
    mlp_width: int = Field(default=4096, description="Width of the MLPs.")
    activation: str = Field(default="quick_gelu", description="Activation of the MLPs.")
    select_layer: int = Field(
        default=-2, le=-1, description="Which layer's output is read, counted from the end."
    )


def _vision_config(config: ClipConfig) -> CLIPVisionConfig:
    if config.weights is not None:
        return from_pretrained(CLIPVisionConfig.from_pretrained, config.weights, what="CLIP weights")
    return CLIPVisionConfig(
        hidden_size=config.width,
        intermediate_size=config.mlp_width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
        hidden_act=config.activation,
    )


class ClipEncoder(ImageEncoder):
    """Patch features of one hidden layer, the class token dropped, no final norm.

    Follows the reference's image tower: hidden state ``select_layer`` of CLIP ViT-L/14-336.
    """

    Config = ClipConfig

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        vision = _vision_config(config)
        self.size: int = vision.image_size
        if config.weights is not None:
            self.tower = from_pretrained(CLIPVisionModel.from_pretrained, config.weights, what="CLIP weights")
        else:
            self.tower = CLIPVisionModel(vision)
        # Layers behind the selected one have no effect: they are neither kept nor run.
        self.tower.encoder.layers = self.tower.encoder.layers[
            : vision.num_hidden_layers + 1 + config.select_layer
        ]
        self.tower.post_layernorm = torch.nn.Identity()

    @classmethod
    def spec(cls, config: ClipConfig) -> EncoderSpec:
        vision = _vision_config(config)
        side = vision.image_size // vision.patch_size
        return EncoderSpec(width=vision.hidden_size, tokens=side * side, grid=(side, side))

    def pixels(self, clips: Sequence[Tensor]) -> Tensor:
        """Preprocessed clips (b, t, 3, size, size)."""
        weight = self.tower.embeddings.patch_embedding.weight
        return torch.stack(
            [
                normalise(
                    short_side_crop(clip.to(weight.device), self.size), CLIP_MEAN, CLIP_STD, weight.dtype
                )
                for clip in clips
            ]
        )

    def features(self, pixels: Tensor) -> Tensor:
        """Preprocessed clips (b, t, 3, size, size) -> features (b, t, n, dv)."""
        found = self.tower(pixel_values=pixels.flatten(0, 1)).last_hidden_state[:, 1:]
        features: Tensor = found.unflatten(0, pixels.shape[:2])
        return features

    def forward(self, clips: Sequence[Tensor]) -> Tensor:
        return self.features(self.pixels(clips))
