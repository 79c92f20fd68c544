"""SAM (arXiv 2304.02643) as mask decoder: prompted by embeddings or boxes, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import torch
from pydantic import Field
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torch.nn import functional as F

from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.dataset import Box
from grounding_core.interfaces.mask_decoder import MaskDecoder
from grounding_core.interfaces.specs import DecoderSpec
from grounding_core.scene import Scene
from grounding_core.video import Video
from grounding_segment_anything.network import PUBLISHED, Network, Published, Sizes, load

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
ABSENT = -1024.0


class Sam1Config(ComponentConfig):
    """Which SAM, and how it decodes a video."""

    model: Published | Sizes = Field(
        default="vit_b", description="Published sizes by name, or sizes of your own."
    )
    weights: str | None = Field(
        default=None,
        description="Checkpoint in the segment-anything layout: a file, or OWNER/REPOSITORY/FILE on the hub.",
    )
    carry: bool = Field(
        default=False,
        description="Each frame also gets the object's mask of the frame before as prompt.",
    )
    prompt_tokens: int = Field(default=1, ge=1, description="Embeddings that prompt one mask together.")
    batch: int = Field(default=4, ge=1, description="Frames whose image features are computed together.")
    budget_mb: int = Field(
        default=2048,
        ge=0,
        description="Image features kept for further questions; frames beyond are computed again.",
    )

    @property
    def sizes(self) -> Sizes:
        """The sizes that ``model`` stands for."""
        return self.model if isinstance(self.model, Sizes) else PUBLISHED[self.model]


class Sam1Decoder(MaskDecoder):
    """SAM whose sparse prompt is an embedding.

    It says nothing on whether an object is there: where it is not, a trained decoder leaves the mask empty.
    """

    Config = Sam1Config

    def __init__(self, config: Sam1Config) -> None:
        super().__init__()
        self.config = config
        self.size = config.sizes.image_size
        self.network = Network(config.sizes)
        if config.weights is not None and torch.get_default_device().type != "meta":
            load(self.network, config.weights)

    @classmethod
    def spec(cls, config: Sam1Config) -> DecoderSpec:
        return DecoderSpec(config.sizes.width, config.prompt_tokens, tracks=config.carry)

    @property
    def _weight(self) -> Tensor:
        weight: Tensor = self.network.prompt_encoder.no_mask_embed.weight
        return weight

    def image_features(self, frames: Tensor) -> Tensor:
        """Features (t, dp, h, w) of uint8 frames (t, H, W, 3): resized, then padded below and right."""
        resize = ResizeLongestSide(self.size).apply_image
        resized = torch.stack([torch.from_numpy(resize(frame)) for frame in frames.cpu().numpy()])
        pixels = resized.to(self._weight.device).permute(0, 3, 1, 2).float()
        mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        height, width = pixels.shape[-2:]
        padded = F.pad((pixels - mean) / std, (0, self.size - width, 0, self.size - height))
        features: Tensor = self.network.image_encoder(padded.to(self._weight.dtype))
        return features

    def masks(self, features: Tensor, sparse: Tensor, before: Tensor | None = None) -> Tensor:
        """Low-resolution logits (k, 4h, 4w) of one frame; its padding is still there.

        Args:
            features: (1, dp, h, w).
            sparse: (k, n, dp) prompts.
            before: (k, 4h, 4w) logits of the frame before; empty ones are no prompt.
        """
        net = self.network
        dense = net.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(
            len(sparse), *features.shape[1:]
        )
        if before is not None:
            seen = (before > 0).flatten(1).any(1)[:, None, None, None]
            carried = net.prompt_encoder.mask_downscaling(before[:, None].to(dense.dtype))
            dense = torch.where(seen, carried, dense)
        masks, _ = net.mask_decoder(
            image_embeddings=features,
            image_pe=net.prompt_encoder.get_dense_pe().to(features.dtype),
            sparse_prompt_embeddings=sparse.to(features.dtype),
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        logits: Tensor = masks[:, 0]
        return logits

    def forward(self, frames: Tensor, prompts: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """See `MaskDecoder.forward`; without carry-over, and the largest mask logit as visibility."""
        b, t = frames.shape[:2]
        features = self.image_features(frames.flatten(0, 1)).unflatten(0, (b, t))
        side = 4 * features.shape[-1]
        logits = features.new_zeros(len(prompts), t, side, side)
        for video in owner.unique().tolist():
            own = owner == video
            each = [self.masks(features[video, frame, None], prompts[own]) for frame in range(t)]
            logits = logits.index_put((own.nonzero()[:, 0],), torch.stack(each, dim=1))
        logits = self._unpad(logits, (int(frames.shape[2]), int(frames.shape[3])))
        return logits, logits.amax((-2, -1))

    # ---- inference -------------------------------------------------------------------------------

    def open(self, video: Video) -> Scene[Tensor]:
        return Scene(video)

    def track(self, scene: Scene[Tensor], prompts: Tensor) -> Iterator[Tensor]:
        before: Tensor | None = None
        for features in self._frames(scene):
            logits = self.masks(features, prompts, before)
            before = logits if self.config.carry else None
            yield self._at_frame_size(scene, logits)

    def track_boxes(self, scene: Scene[Tensor], boxes: Sequence[Mapping[int, Box]]) -> Iterator[Tensor]:
        """See `grounding_core.interfaces.box_prompts.BoxPrompts`; each frame by itself."""
        height, width = scene.video.size
        resized = _resized(scene.video.size, self.size)
        for frame, features in enumerate(self._frames(scene)):
            logits = features.new_full((len(boxes), height, width), ABSENT, dtype=torch.float32)
            rows = [row for row, track in enumerate(boxes) if frame in track]
            if rows:
                scale = torch.tensor([resized[1] / width, resized[0] / height] * 2, device=features.device)
                corners = scale.new_tensor([boxes[row][frame] for row in rows]) * scale
                sparse, _ = self.network.prompt_encoder(None, corners, None)
                logits[rows] = self._at_frame_size(scene, self.masks(features, sparse))
            yield logits

    def _frames(self, scene: Scene[Tensor]) -> Iterator[Tensor]:
        """Features (1, dp, h, w) of each frame."""
        config = self.config
        for batch in scene.stream(self.image_features, batch=config.batch, budget_mb=config.budget_mb):
            yield from batch.split(1)

    def _at_frame_size(self, scene: Scene[Tensor], logits: Tensor) -> Tensor:
        """Low-resolution logits (k, 4h, 4w) at the size of the video's frames, as SAM's predictor does it."""
        square = F.interpolate(logits[None].float(), (self.size, self.size), mode="bilinear")
        height, width = _resized(scene.video.size, self.size)
        return F.interpolate(square[..., :height, :width], scene.video.size, mode="bilinear")[0]

    def _unpad(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Low-resolution logits without the cells that are padding alone."""
        height, width = _resized(size, self.size)
        stride = self.size // logits.shape[-1]
        return logits[..., : -(-height // stride), : -(-width // stride)]


@lru_cache
def _resized(size: tuple[int, int], target: int) -> tuple[int, int]:
    """(H, W) of frames whose longer side is resized to ``target``."""
    height, width = ResizeLongestSide.get_preprocess_shape(*size, target)
    return int(height), int(width)
