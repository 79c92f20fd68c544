"""SAM 2 through transformers as mask decoder, prompted by embeddings (paper, section 3.3)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from transformers import Sam2VideoConfig, Sam2VideoModel

from grounding_core.hub import from_pretrained
from grounding_videoglamm.images import long_side_stretch
from grounding_videoglamm.tracker import Tracker, TrackerConfig

MASK_STRIDE = 4
EMBEDDING_STRIDE = 16
MEMORY_WIDTH = 64  # SAM 2 splits object pointers into tokens of this width


class Sam2Config(TrackerConfig):
    """Sizes of the network; or ``weights``, which brings its own. Defaults: SAM 2 hiera-large."""

    weights: str | None = Field(
        default=None, description="Hub id or folder of a SAM 2 video model; overrides the sizes below."
    )
    image_size: int = Field(default=1024, description="Side of the square input in pixels.")
    trunk_width: int = Field(
        default=144, description="Width of Hiera's first stage; doubles with each stage."
    )
    trunk_heads: int = Field(default=2, description="Heads of Hiera's first stage; double with each stage.")
    stages: tuple[int, int, int, int] = Field(default=(2, 6, 36, 4), description="Blocks of Hiera's stages.")
    windows: tuple[int, int, int, int] = Field(
        default=(8, 4, 16, 8), description="Attention windows of the stages."
    )
    global_blocks: tuple[int, ...] = Field(default=(23, 33, 43), description="Blocks with global attention.")
    background: tuple[int, int] = Field(
        default=(7, 7), description="Size of the background position embedding."
    )
    width: int = Field(default=256, description="Width of the decoder, and so of the prompts.")
    mlp_width: int = Field(default=2048, description="Width of the mask decoder's MLPs.")
    memory_mlp_width: int | None = Field(
        default=None, description="Width of the memory attention's MLPs; null: as the mask decoder's."
    )
    memory_layers: int = Field(default=4, description="Layers of the memory attention.")
    version: Literal["2.0", "2.1"] = Field(
        default="2.0", description="2.1 adds position encoding of object pointers and an occlusion embedding."
    )
    init_std: float = Field(
        default=0.02, gt=0, description="Spread of random initial weights; a narrow network needs more."
    )
    stability_fallback: bool = Field(
        default=True,
        description="Framewise: take the best of three masks where the single mask is unstable (< 0.98).",
    )


def _network_config(config: Sam2Config) -> Sam2VideoConfig:
    if config.weights is not None:
        return from_pretrained(Sam2VideoConfig.from_pretrained, config.weights, what="SAM 2 weights")
    widths = [config.trunk_width * 2**stage for stage in range(4)]
    sizes = [config.image_size // stride for stride in (MASK_STRIDE, 2 * MASK_STRIDE, EMBEDDING_STRIDE)]
    later = config.version == "2.1"
    return Sam2VideoConfig(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "image_size": [config.image_size, config.image_size],
                "hidden_size": config.trunk_width,
                "initializer_range": config.init_std,
                "num_attention_heads": config.trunk_heads,
                "blocks_per_stage": list(config.stages),
                "embed_dim_per_stage": widths,
                "num_attention_heads_per_stage": [config.trunk_heads * 2**stage for stage in range(4)],
                "window_size_per_stage": list(config.windows),
                "window_positional_embedding_background_size": list(config.background),
                "global_attention_blocks": list(config.global_blocks),
            },
            "backbone_channel_list": widths[::-1],
            "backbone_feature_sizes": [[size, size] for size in sizes],
            "fpn_hidden_size": config.width,
            "initializer_range": config.init_std,
        },
        prompt_encoder_config={"hidden_size": config.width, "image_size": config.image_size},
        mask_decoder_config={
            "hidden_size": config.width,
            "mlp_dim": config.mlp_width,
            "iou_head_hidden_dim": config.width,
            "dynamic_multimask_via_stability": config.stability_fallback,
        },
        image_size=config.image_size,
        initializer_range=config.init_std,
        memory_attention_hidden_size=config.width,
        memory_attention_num_layers=config.memory_layers,
        memory_attention_feed_forward_hidden_size=config.memory_mlp_width or config.mlp_width,
        memory_attention_rope_feat_sizes=[sizes[2], sizes[2]],
        memory_encoder_hidden_size=config.width,
        memory_encoder_output_channels=MEMORY_WIDTH,
        mask_downsampler_embed_dim=config.width,
        memory_fuser_embed_dim=config.width,
        memory_fuser_intermediate_dim=4 * config.width,
        enable_temporal_pos_encoding_for_object_pointers=later,
        enable_occlusion_spatial_embedding=later,
    )


@torch.no_grad()
def _expect_background(network: Sam2VideoModel) -> None:
    """Start with masks that are empty (a prior as in RetinaNet, arXiv 1708.02002, section 4.1).

    The mask head has no bias of its own: trained from scratch it would first grow large constants in
    all features, in which the prompt drowns.
    """
    decoder = network.mask_decoder
    decoder.upscale_conv2.bias.fill_(0.5)
    for head in decoder.output_hypernetworks_mlps:
        head.proj_out.bias.fill_(-8.0 / decoder.upscale_conv2.out_channels)


class Sam2Decoder(Tracker):
    """SAM 2 at any size, with weights of its own or random ones."""

    Config = Sam2Config

    def __init__(self, config: Sam2Config) -> None:
        if config.weights is not None:
            network = from_pretrained(Sam2VideoModel.from_pretrained, config.weights, what="SAM 2 weights")
        else:
            network = Sam2VideoModel(_network_config(config))
            _expect_background(network)
        super().__init__(config, network)

    @classmethod
    def network_config(cls, config: Sam2Config) -> Sam2VideoConfig:
        return _network_config(config)

    def pixels(self, frames: Tensor, dtype: torch.dtype) -> Tensor:
        return long_side_stretch(frames, self.size, dtype)
