"""The networks of SAM 2 and its successors: frames to features, features and prompts to masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from grounding_core.interfaces.mask_decoder import MaskDecoder
from grounding_core.interfaces.spatial_prompts import SpatialPrompts
from grounding_core.video import Video

CORNERS = (2.0, 3.0)
"""Labels of a box's corners among a prompt's points."""


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
class Start:
    """What the first tracked frame is prompted with.

    Attributes:
        sparse: (k, n, d) prompt tokens.
        multimask: choose among three masks.
        frames: how many frames are prompted.
        masks: (k, 1, side, side) at the network's size, 0 to 1, taken as they are; None: predict them.
    """

    sparse: Tensor
    multimask: bool
    frames: int = 1
    masks: Tensor | None = None


class SamNetwork(MaskDecoder):
    """A video model of transformers, frame by frame; what goes from frame to frame is the tracker's."""

    has_image_map = True

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.size: int = network.image_size

    def pixels(self, frames: Tensor, dtype: torch.dtype) -> Tensor:
        """Pixel values (t, 3, side, side) of uint8 frames (t, H, W, 3)."""
        raise NotImplementedError

    def image_features(self, frames: Tensor) -> Features:
        """Features of uint8 frames (t, H, W, 3); the mask decoder's 1x1 convolutions are applied already."""
        return self.features_of(self.prepared(frames))

    def prepared(self, frames: Tensor) -> Tensor:
        """`pixels` of frames wherever they are, in the weights' number type."""
        weight = self.network.no_memory_embedding
        return self.pixels(frames.to(weight.device), weight.dtype)

    def features_of(self, pixels: Tensor) -> Features:
        """Features of pixel values (t, 3, side, side)."""
        output = self.network.get_image_features(pixels, return_dict=True)
        sizes = self.network.backbone_feature_sizes
        maps = [
            level.permute(1, 2, 0).unflatten(2, tuple(size))
            for level, size in zip(output.fpn_hidden_states, sizes, strict=True)
        ]
        return Features((maps[0], maps[1]), maps[2], output.fpn_position_encoding[-1][:, :1])

    def image_map(self, frames: Tensor) -> Tensor:
        """See `MaskDecoder.image_map`: the coarse features before memory."""
        return self.without_memory(self.image_features(frames))

    def masks(
        self,
        features: Features,
        conditioned: Tensor,
        sparse: Tensor,
        *,
        multimask: bool,
        dense: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """SAM's mask head.

        Args:
            features: of b frames.
            conditioned: (b, d, h, w) coarse features after memory.
            sparse: (b, q, n, d) prompts, q objects on each frame.
            multimask: three masks instead of one.
            dense: (b, d, h, w) prompt for each place; None: the one that stands for no mask.

        Returns:
            mask logits (b, q, 1 or 3, 4h, 4w), predicted IoU, mask tokens, object score logits (b, q, 1).
        """
        net = self.network
        if dense is None:
            dense = net.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(conditioned)
        position = net.get_image_wide_positional_embeddings().expand(len(conditioned), -1, -1, -1)
        found: tuple[Tensor, Tensor, Tensor, Tensor] = net.mask_decoder(
            image_embeddings=conditioned,
            image_positional_embeddings=position,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            high_resolution_features=list(features.fine),
        )
        return found

    def without_memory(self, features: Features) -> Tensor:
        """Coarse features of frames that have no memory to look at."""
        added: Tensor = self.network.no_memory_embedding.view(1, -1, 1, 1)
        return features.coarse + added

    def no_point(self, k: int) -> Tensor:
        """Tokens (k, 2, d) of no point, as in a frame that is not prompted."""
        tokens: Tensor = self.network.prompt_encoder.not_a_point_embed.weight.expand(k, 2, -1)
        return tokens

    def start_of(self, video: Video, prompts: SpatialPrompts) -> Start:
        """A frame's prompts as tokens; a single point may mean several things, so it chooses among masks."""
        weight = self.network.no_memory_embedding
        if prompts.masks is not None:
            masks = torch.from_numpy(prompts.masks[:, None]).to(weight)
            size = (self.size, self.size)
            masks = F.interpolate(masks.float(), size, mode="bilinear", antialias=True).to(weight.dtype)
            return Start(self.no_point(len(prompts)), multimask=False, masks=masks)
        parts = []
        if prompts.boxes is not None:
            corners = prompts.boxes.reshape(-1, 2, 2)
            labels = np.broadcast_to(np.array(CORNERS)[:, None], (len(corners), 2, 1))
            parts.append(np.concatenate([corners, labels], axis=2))
        if prompts.points is not None:
            parts.append(prompts.points)
        points = torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32)).to(weight.device)
        height, width = video.size
        scale = points.new_tensor([self.size / width, self.size / height])
        sparse, _ = self.network.prompt_encoder(
            (points[..., :2] * scale)[None], points[None, ..., 2].int(), None, None
        )
        return Start(sparse[0].to(weight.dtype), multimask=points.shape[1] == 1)
