"""SAM 2's memory bank for a batch of objects prompted together on the first frames.

Follows ``sam2_base.py`` of the public SAM 2 release as VideoGLaMM runs it; the modules are
transformers' own, the bookkeeping is ours so that all objects share one batch.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import get_1d_sine_pe


class Memory:
    """What the tracker remembers of k objects: bounded, whatever the length of the video.

    Args:
        network: whose memory modules are used.
        bf16: round memory features to bfloat16, as the reference does even in fp32.
        binary: remember the masks of prompted frames as 0 and 1.
        frames: length of the video (normalises the pointers' time encoding).
    """

    ABSENT: ClassVar[float] = -1024.0

    def __init__(self, network: Sam2VideoModel, *, bf16: bool, frames: int, binary: bool = True) -> None:
        self.network = network
        self.bf16 = bf16
        self.binary = binary
        pointers = min(frames, network.config.max_object_pointers_in_encoder)
        self.horizon = max(pointers - 1, 1)
        self.prompted: list[tuple[Tensor, Tensor]] = []
        self.prompted_pointers: list[Tensor] = []
        self.recent: deque[tuple[Tensor, Tensor]] = deque(maxlen=network.num_maskmem - 1)
        self.pointers: deque[Tensor] = deque(maxlen=max(pointers - 1, 0))
        self.age = 0

    def add(
        self, coarse: Tensor, logits: Tensor, token: Tensor, score: Tensor, *, prompted: bool
    ) -> tuple[Tensor, Tensor]:
        """Remember a frame.

        Args:
            coarse: (k, d, h, w) image features without memory.
            logits: (k, H, W) the chosen masks, at any size.
            token: (k, d) the chosen masks' tokens.
            score: (k, 1) object score logits.
            prompted: the frame is: it is never forgotten. Such frames come first.

        Returns:
            Memory features (k, dm, h, w) and object pointers (k, d) of the frame.
        """
        net = self.network
        high = logits[:, None].float()
        for side in dict.fromkeys((net.image_size, 4 * net.prompt_encoder.mask_input_size[0])):
            high = F.interpolate(high, size=(side, side), mode="bilinear", antialias=high.shape[-1] > side)
        mask = (high > 0 if prompted and self.binary else high.sigmoid()).to(coarse.dtype)
        mask = mask * net.config.sigmoid_scale_for_mem_enc + net.config.sigmoid_bias_for_mem_enc
        features, position = net.memory_encoder(coarse, mask)
        present = (score > 0).to(coarse.dtype)
        if net.occlusion_spatial_embedding_parameter is not None:
            features = (
                features
                + (1 - present)[..., None, None] * net.occlusion_spatial_embedding_parameter[..., None, None]
            )
        if self.bf16:
            features = features.to(torch.bfloat16).to(coarse.dtype)
        pointer = present * net.object_pointer_proj(token) + (1 - present) * net.no_object_pointer
        entry = self.tokens(features, position.expand_as(features))
        if prompted:
            self.prompted.append(entry)
            self.prompted_pointers.append(pointer)
        else:
            self.recent.append(entry)
            self.pointers.append(pointer)
        self.age += 1
        return features, pointer

    def condition(self, coarse: Tensor, position: Tensor) -> Tensor:
        """Features (k, d, h, w) of the next frame, after attention to the memory."""
        net = self.network
        time = net.memory_temporal_positional_encoding
        tokens = [features for features, _ in self.prompted]
        positions = [where + time[-1] for _, where in self.prompted]
        for offset, (features, where) in zip(range(len(self.recent), 0, -1), self.recent, strict=True):
            tokens.append(features)
            positions.append(where + time[offset - 1])
        pointers, pointer_positions = self._pointer_tokens()
        k, d, h, w = coarse.shape
        conditioned: Tensor = net.memory_attention(
            current_vision_features=coarse.flatten(2).permute(2, 0, 1),
            current_vision_position_embeddings=position.expand(-1, k, -1),
            memory=torch.cat([*tokens, pointers]),
            memory_posision_embeddings=torch.cat([*positions, pointer_positions]),
            num_object_pointer_tokens=len(pointers),
            **self.repeats(len(tokens)),
        )
        return conditioned.reshape(k, h * w, d).transpose(1, 2).reshape(k, d, h, w)

    def tokens(self, features: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """What is remembered of a frame, and its position encoding: (k, dm, h, w) to (n, k, dm) each."""
        flat = [part.flatten(2).permute(2, 0, 1) for part in (features, position)]
        return flat[0], flat[1]

    def repeats(self, frames: int) -> dict[str, int]:
        """What else the memory attention is told of the frames it looks at."""
        return {}

    def _pointer_tokens(self) -> tuple[Tensor, Tensor]:
        """Object pointers cut into tokens of the memory's width, with their time encoding."""
        net = self.network
        old = len(self.prompted)
        stacked = torch.stack([*self.prompted_pointers, *reversed(self.pointers)])
        count, k, d = stacked.shape
        splits = d // net.mem_dim
        tokens = stacked.reshape(count, k, splits, net.mem_dim).permute(0, 2, 1, 3).flatten(0, 1)
        if not net.config.enable_temporal_pos_encoding_for_object_pointers:
            return tokens, torch.zeros_like(tokens)
        ages = torch.tensor(
            [*range(self.age, self.age - old, -1), *range(1, count - old + 1)],
            device=tokens.device,
            dtype=torch.float32,
        )
        encoded = get_1d_sine_pe(ages / self.horizon, dim=d).to(tokens.dtype)
        projected = net.temporal_positional_encoding_projection_layer(encoded)
        return tokens, projected[:, None].expand(-1, k, -1).repeat_interleave(splits, dim=0)
