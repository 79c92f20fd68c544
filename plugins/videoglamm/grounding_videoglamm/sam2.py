"""SAM 2 through transformers as mask decoder, prompted by embeddings (paper, section 3.3).

Two ways to decode: framewise (each frame by itself, the way the model is trained) and with video
memory (prompted on frame 0, then tracked forward; all objects in one batch).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from transformers import Sam2VideoConfig, Sam2VideoModel

from grounding_core.hub import from_pretrained
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.dataset import Box
from grounding_core.interfaces.mask_decoder import MaskDecoder
from grounding_core.interfaces.specs import DecoderSpec
from grounding_core.scene import Scene
from grounding_core.video import Video
from grounding_videoglamm.images import long_side_stretch
from grounding_videoglamm.sam2_memory import Memory

MASK_STRIDE = 4
EMBEDDING_STRIDE = 16
MEMORY_WIDTH = 64  # SAM 2 splits object pointers into tokens of this width


class Sam2Config(ComponentConfig):
    """Sizes of the network; or ``weights``, which brings its own. Defaults: SAM 2 hiera-large."""

    weights: str | None = Field(
        default=None, description="Hub id or folder of a SAM 2 video model; overrides the sizes below."
    )
    mode: Literal["framewise", "memory"] = Field(
        description="Decode each frame by itself with the prompt, or prompt frame 0 and track by memory."
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
    prompt_tokens: int = Field(default=1, ge=1, description="Embeddings that prompt one mask together.")
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
    hide_absent: bool = Field(
        default=False, description="Framewise: no mask where the object score says that the object is absent."
    )
    bf16_memory: bool = Field(
        default=True, description="Round memory to bfloat16 even in fp32, as the reference does."
    )
    batch: int = Field(default=8, ge=1, description="Frames whose image features are computed together.")
    budget_mb: int = Field(
        default=2048,
        ge=0,
        description="Image features kept for further questions; frames beyond are computed again.",
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


@dataclass(frozen=True)
class Features:
    """Image features of t frames: ``fine`` (t, d/8, 4h, 4w) and (t, d/4, 2h, 2w), ``coarse`` (t, d, h, w)."""

    fine: tuple[Tensor, Tensor]
    coarse: Tensor
    position: Tensor

    def __len__(self) -> int:
        return len(self.coarse)

    def pick(self, index: Tensor | slice) -> Features:
        """Features of some of the frames."""
        return Features((self.fine[0][index], self.fine[1][index]), self.coarse[index], self.position)

    @property
    def nbytes(self) -> int:
        """Memory they take."""
        return sum(part.numel() * part.element_size() for part in (*self.fine, self.coarse))


@dataclass(frozen=True)
class Step:
    """One tracked frame of k objects.

    Attributes:
        logits: (k, 4h, 4w) of the mask with the best predicted IoU; -1024 where the object is absent.
        iou: (k, 3) predicted IoU of the three masks.
        score: (k, 1) object score logits; the object is absent where they are not above 0.
        memory: (k, dm, h, w) features remembered of this frame.
        pointer: (k, d) object pointers remembered of this frame.
    """

    logits: Tensor
    iou: Tensor
    score: Tensor
    memory: Tensor
    pointer: Tensor


class Sam2Decoder(MaskDecoder):
    """SAM 2 whose sparse prompt is an embedding."""

    Config = Sam2Config
    has_image_map = True

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        self.config = config
        if config.weights is not None:
            self.network = from_pretrained(
                Sam2VideoModel.from_pretrained, config.weights, what="SAM 2 weights"
            )
        else:
            self.network = Sam2VideoModel(_network_config(config))
            _expect_background(self.network)
        self.size: int = self.network.image_size

    @classmethod
    def spec(cls, config: Sam2Config) -> DecoderSpec:
        width = _network_config(config).mask_decoder_config.hidden_size
        return DecoderSpec(width, config.prompt_tokens, tracks=config.mode == "memory")

    def image_features(self, frames: Tensor) -> Features:
        """Features of uint8 frames (t, H, W, 3); the mask decoder's 1x1 convolutions are applied already."""
        weight = self.network.no_memory_embedding
        pixels = long_side_stretch(frames.to(weight.device), self.size, weight.dtype)
        output = self.network.get_image_features(pixels, return_dict=True)
        sizes = self.network.backbone_feature_sizes
        maps = [
            level.permute(1, 2, 0).unflatten(2, tuple(size))
            for level, size in zip(output.fpn_hidden_states, sizes, strict=True)
        ]
        return Features((maps[0], maps[1]), maps[2], output.fpn_position_encoding[-1][:, :1])

    def image_map(self, frames: Tensor) -> Tensor:
        """See :meth:`MaskDecoder.image_map`: the coarse features before memory."""
        return self.without_memory(self.image_features(frames))

    def masks(
        self, features: Features, conditioned: Tensor, sparse: Tensor, *, multimask: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """SAM's mask head.

        Args:
            features: of b frames.
            conditioned: (b, d, h, w) coarse features after memory.
            sparse: (b, q, n, d) prompts, q objects on each frame.
            multimask: three masks instead of one.

        Returns:
            mask logits (b, q, 1 or 3, 4h, 4w), predicted IoU, mask tokens, object score logits (b, q, 1).
        """
        net = self.network
        dense = net.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(conditioned)
        position = net.get_image_wide_positional_embeddings().expand(len(conditioned), -1, -1, -1)
        masks, iou, tokens, score = net.mask_decoder(
            image_embeddings=conditioned,
            image_positional_embeddings=position,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            high_resolution_features=list(features.fine),
        )
        return masks, iou, tokens, score

    def without_memory(self, features: Features) -> Tensor:
        """Coarse features of frames that have no memory to look at."""
        return features.coarse + self.network.no_memory_embedding.view(1, -1, 1, 1)

    def forward(self, frames: Tensor, prompts: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`MaskDecoder.forward`: framewise, one mask, no memory, as the reference trains."""
        t = frames.shape[1]
        features = self.image_features(frames.flatten(0, 1))
        k = len(prompts)
        if k == 0:  # transformers can't attend to nothing
            empty = features.coarse.new_zeros((0, t))
            return empty[..., None, None].expand(-1, -1, *features.fine[0].shape[-2:]), empty
        index = (owner[:, None] * t + torch.arange(t, device=owner.device)).flatten()
        own = features.pick(index)
        sparse = prompts[:, None].expand(-1, t, -1, -1).reshape(k * t, 1, *prompts.shape[1:])
        masks, _, _, score = self.masks(own, self.without_memory(own), sparse, multimask=False)
        return masks[:, 0, 0].unflatten(0, (k, t)), score[:, 0, 0].unflatten(0, (k, t))

    # ---- inference -------------------------------------------------------------------------------

    def open(self, video: Video) -> Scene[Features]:
        return Scene(video)

    def stream(self, scene: Scene[Features], start: int = 0) -> Iterator[Features]:
        """Features of the frames from ``start`` in order, in batches."""
        config = self.config
        return scene.stream(self.image_features, batch=config.batch, budget_mb=config.budget_mb, start=start)

    def track(self, scene: Scene[Features], prompts: Tensor) -> Iterator[Tensor]:
        steps = (
            self._framewise(scene, prompts)
            if self.config.mode == "framewise"
            else (step.logits for step in self.follow(scene, prompts))
        )
        for logits in steps:
            yield self.at_frame_size(scene, logits)

    def track_boxes(self, scene: Scene[Features], boxes: Sequence[Mapping[int, Box]]) -> Iterator[Tensor]:
        """See :class:`~grounding_core.interfaces.box_prompts.BoxPrompts`.

        Each frame with a box is decoded by itself, as SAM 2's video predictor does where every frame is
        prompted; the object counts as there, whatever the object score says.
        """
        height, width = scene.video.size
        frame = 0
        for features in self.stream(scene):
            scale = features.coarse.new_tensor([self.size / width, self.size / height] * 2)
            for place in range(len(features)):
                logits = features.coarse.new_full((len(boxes), height, width), Memory.ABSENT)
                rows = [row for row, track in enumerate(boxes) if frame in track]
                if rows:
                    corners = features.coarse.new_tensor([boxes[row][frame] for row in rows]) * scale
                    sparse, _ = self.network.prompt_encoder(None, None, corners[None], None)
                    own = features.pick(slice(place, place + 1))
                    masks, *_ = self.masks(own, self.without_memory(own), sparse, multimask=False)
                    logits[rows] = self.at_frame_size(scene, masks[0, :, 0]).to(logits.dtype)
                yield logits
                frame += 1

    def at_frame_size(self, scene: Scene[Features], logits: Tensor) -> Tensor:
        """Low-resolution logits (k, h, w) at the size of the video's frames."""
        size = scene.video.size
        return F.interpolate(logits[None].float(), size=size, mode="bilinear", align_corners=False)[0]

    def _framewise(self, scene: Scene[Features], prompts: Tensor) -> Iterator[Tensor]:
        """Low-resolution logits (k, h, w) of each frame; every frame gets the same prompts."""
        for features in self.stream(scene):
            sparse = prompts[None].expand(len(features), -1, -1, -1)
            masks, _, _, score = self.masks(features, self.without_memory(features), sparse, multimask=False)
            logits = masks[:, :, 0]
            if self.config.hide_absent:
                logits = torch.where(score[..., None] > 0, logits, -1.0)
            yield from logits

    def follow(self, scene: Scene[Features], prompts: Tensor) -> Iterator[Step]:
        """Prompt frame 0, then track forward by memory: low-resolution masks, and what is remembered."""
        memory = Memory(self.network, bf16=self.config.bf16_memory, frames=len(scene.video))
        k = len(prompts)
        padding = self.network.prompt_encoder.not_a_point_embed.weight.expand(k, 2, -1)
        first = True
        for batch in self.stream(scene):
            for step in range(len(batch)):
                features = batch.pick(slice(step, step + 1)).pick(
                    torch.zeros(k, dtype=torch.long, device=prompts.device)
                )
                conditioned = (
                    self.without_memory(features)
                    if first
                    else memory.condition(features.coarse, features.position)
                )
                sparse = torch.cat([padding, prompts], dim=1) if first else padding
                masks, iou, tokens, score = self.masks(features, conditioned, sparse[:, None], multimask=True)
                best = iou[:, 0].argmax(-1)
                rows = torch.arange(k, device=best.device)
                logits = torch.where(score[:, 0, :, None] > 0, masks[rows, 0, best], Memory.ABSENT)
                remembered, pointer = memory.add(features.coarse, logits, tokens[rows, 0, best], score[:, 0])
                first = False
                yield Step(logits, iou[:, 0], score[:, 0], remembered, pointer)
