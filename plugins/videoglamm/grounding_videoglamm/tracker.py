"""SAM 2 and its successors as mask decoders, prompted by embeddings, boxes, points or masks.

Two ways to decode: framewise (each frame by itself, the way the model is trained) and with video
memory (prompted on one frame, then tracked; all objects in one batch).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.dataset import Box
from grounding_core.interfaces.mask_decoder import MaskDecoder
from grounding_core.interfaces.spatial_prompts import SpatialPrompts
from grounding_core.interfaces.specs import DecoderSpec
from grounding_core.scene import Scene
from grounding_core.video import Video
from grounding_videoglamm.sam2_memory import Memory

AT_ONCE = 64
"""Masks decoded together, so that many objects in a batch of frames take no more memory than few."""

CORNERS = (2.0, 3.0)
"""Labels of a box's corners among a prompt's points."""


class TrackerConfig(ComponentConfig):
    """How a tracker decodes."""

    mode: Literal["framewise", "memory"] = Field(
        description="Decode each frame by itself with the prompt, or prompt the first and track by memory."
    )
    prompted_frames: int = Field(
        default=1,
        ge=1,
        description="Memory: so many first frames get the prompt, each by itself; the rest is tracked.",
    )
    prompt_tokens: int = Field(default=1, ge=1, description="Embeddings that prompt one mask together.")
    hide_absent: bool | None = Field(
        default=None,
        description="No mask where the object score says that the object is absent; null: only with memory.",
    )
    binary_memory: bool = Field(
        default=True,
        description="Remember the masks of prompted frames as 0 and 1, as SAM 2's predictor does.",
    )
    multimask: bool = Field(
        default=True,
        description="Memory: choose among three masks by predicted IoU, as the reference does; "
        "false: one mask, for networks whose IoU head was not trained.",
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
        mask: (k, 4h, 4w) the same, whether the object is there or not.
        iou: (k, 3) predicted IoU of the three masks.
        score: (k, 1) object score logits; the object is absent where they are not above 0.
        memory: (k, dm, h, w) features remembered of this frame.
        pointer: (k, d) object pointers remembered of this frame.
    """

    logits: Tensor
    mask: Tensor
    iou: Tensor
    score: Tensor
    memory: Tensor
    pointer: Tensor


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


class Tracker(MaskDecoder):
    """A network of the SAM 2 family whose sparse prompt is an embedding.

    Class attributes:
        memory_class: what its tracker remembers.
    """

    has_image_map = True
    memory_class: ClassVar[type[Memory]] = Memory

    def __init__(self, config: TrackerConfig, network: Any) -> None:
        """Args:
        config: how to decode.
        network: a video model of transformers.
        """
        super().__init__()
        self.config = config
        self.network = network
        self.size: int = network.image_size

    @classmethod
    def network_config(cls, config: Any) -> Any:
        """The network's sizes, as transformers' configuration."""
        raise NotImplementedError

    @classmethod
    def spec(cls, config: Any) -> DecoderSpec:
        width = cls.network_config(config).mask_decoder_config.hidden_size
        return DecoderSpec(width, config.prompt_tokens, tracks=config.mode == "memory")

    def pixels(self, frames: Tensor, dtype: torch.dtype) -> Tensor:
        """Pixel values (t, 3, side, side) of uint8 frames (t, H, W, 3)."""
        raise NotImplementedError

    def image_features(self, frames: Tensor) -> Features:
        """Features of uint8 frames (t, H, W, 3); the mask decoder's 1x1 convolutions are applied already."""
        return self.features_of(self.prepared(frames))

    def prepared(self, frames: Tensor) -> Tensor:
        """:meth:`pixels` of frames wherever they are, in the weights' number type."""
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
        """See :meth:`MaskDecoder.image_map`: the coarse features before memory."""
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

    def forward(self, frames: Tensor, prompts: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`MaskDecoder.forward`: framewise (as the reference trains) or by memory."""
        if self.config.mode == "memory" and len(prompts):
            return self._trained_by_memory(frames, prompts, owner)
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

    def _trained_by_memory(self, frames: Tensor, prompts: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """Each video's objects, prompted on its first frame and followed through the others."""
        parts, rows = [], []
        for video in owner.unique():
            own = (owner == video).nonzero()[:, 0]
            features = self.image_features(frames[video])
            steps = list(self._remember([features], self._first(prompts[own]), frames=len(features)))
            masks = torch.stack([step.mask for step in steps], dim=1)
            scores = torch.stack([step.score[:, 0] for step in steps], dim=1)
            parts.append((masks, scores))
            rows.append(own)
        order = torch.cat(rows).argsort()
        masks, scores = (torch.cat(part)[order] for part in zip(*parts, strict=True))
        return masks, scores

    # ---- inference -------------------------------------------------------------------------------

    def open(self, video: Video) -> Scene[Features]:
        return Scene(video)

    def stream(self, scene: Scene[Features], start: int = 0) -> Iterator[Features]:
        """Features of the frames from ``start`` in order, in batches."""
        config = self.config
        return scene.stream(
            self.features_of,
            batch=config.batch,
            budget_mb=config.budget_mb,
            start=start,
            prepare=self.prepared,
        )

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
        step = max(AT_ONCE // len(prompts), 1)
        for batch in self.stream(scene):
            for start in range(0, len(batch), step):
                features = batch.pick(slice(start, start + step))
                sparse = prompts[None].expand(len(features), -1, -1, -1)
                masks, _, _, score = self.masks(
                    features, self.without_memory(features), sparse, multimask=False
                )
                logits = masks[:, :, 0]
                if self.config.hide_absent:
                    logits = torch.where(score[..., None] > 0, logits, -1.0)
                yield from logits

    def follow(self, scene: Scene[Features], prompts: Tensor) -> Iterator[Step]:
        """Prompt the first frames, then track forward by memory: low-resolution masks, what is remembered."""
        return self._remember(self.stream(scene), self._first(prompts), frames=len(scene.video))

    def _first(self, prompts: Tensor) -> Start:
        """First frames that are prompted with embeddings."""
        tokens = torch.cat([self._padding(len(prompts)), prompts], dim=1)
        return Start(tokens, multimask=self.config.multimask, frames=self.config.prompted_frames)

    def propagate(
        self, scene: Scene[Features], prompts: SpatialPrompts, frame: int = 0
    ) -> Iterator[tuple[int, Tensor]]:
        """See :class:`~grounding_core.interfaces.spatial_prompts.Propagation`; by memory, whatever the mode.

        The way back starts from the prompted frame again and remembers nothing of the way forward.
        """
        start = self._start(scene.video, prompts)
        count = len(scene.video)
        for place, step in enumerate(self._remember(self.stream(scene, frame), start, frames=count)):
            yield frame + place, self.at_frame_size(scene, step.logits)
        if frame == 0:
            return
        back = Scene[Features](scene.video.pick(range(frame, -1, -1)))
        features = back.stream(self.features_of, batch=self.config.batch, budget_mb=0, prepare=self.prepared)
        for place, step in enumerate(self._remember(features, start, frames=count)):
            if place:
                yield frame - place, self.at_frame_size(scene, step.logits)

    def _padding(self, k: int) -> Tensor:
        """Tokens (k, 2, d) of no point, as in a frame that is not prompted."""
        tokens: Tensor = self.network.prompt_encoder.not_a_point_embed.weight.expand(k, 2, -1)
        return tokens

    def _start(self, video: Video, prompts: SpatialPrompts) -> Start:
        """A frame's prompts as tokens; a single point may mean several things, so it chooses among masks."""
        weight = self.network.no_memory_embedding
        if prompts.masks is not None:
            masks = torch.from_numpy(prompts.masks[:, None]).to(weight)
            size = (self.size, self.size)
            masks = F.interpolate(masks.float(), size, mode="bilinear", antialias=True).to(weight.dtype)
            return Start(self._padding(len(prompts)), multimask=False, masks=masks)
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

    def _remember(self, batches: Iterable[Features], start: Start, *, frames: int) -> Iterator[Step]:
        """Track through frames, the first of which are prompted; ``frames`` is the length of the video."""
        config = self.config
        memory = self.memory_class(
            self.network, bf16=config.bf16_memory, binary=config.binary_memory, frames=frames
        )
        k = len(start.sparse)
        padding = self._padding(k)
        rows = torch.arange(k, device=padding.device)
        index = -1
        for batch in batches:
            for place in range(len(batch)):
                features = batch.pick(slice(place, place + 1)).pick(torch.zeros_like(rows))
                index += 1
                prompted = index < start.frames
                if prompted:
                    conditioned, sparse = self.without_memory(features), start.sparse
                else:
                    conditioned, sparse = memory.condition(features.coarse, features.position), padding
                if prompted and start.masks is not None:
                    yield self._given(features, start.masks, memory)
                    continue
                multimask = start.multimask if prompted else self.config.multimask
                masks, iou, tokens, score = self.masks(
                    features, conditioned, sparse[:, None], multimask=multimask
                )
                best = iou[:, 0].argmax(-1)
                token = tokens[rows, 0, best if tokens.shape[2] > 1 else 0]
                mask = logits = masks[rows, 0, best]
                if config.hide_absent is not False:
                    logits = torch.where(score[:, 0, :, None] > 0, mask, Memory.ABSENT)
                remembered, pointer = memory.add(
                    features.coarse, logits, token, score[:, 0], prompted=prompted
                )
                yield Step(logits, mask, iou[:, 0], score[:, 0], remembered, pointer)

    def _given(self, features: Features, masks: Tensor, memory: Memory) -> Step:
        """Masks (k, 1, side, side) taken as they are (``sam2_base.py``, ``_use_mask_as_output``).

        The object is there where its mask is not empty, whatever the network thinks. Its pointer comes of the
        mask head, which gets the mask as dense prompt, without memory.
        """
        net = self.network
        high = masks.float() * 20 - 10
        low = F.interpolate(high, features.fine[0].shape[-2:], mode="bilinear", antialias=True)[:, 0]
        dense = net.mask_downsample(masks)
        size = tuple(net.prompt_encoder.mask_input_size)
        if dense.shape[-2:] != size:
            dense = F.interpolate(dense.float(), size, mode="bilinear", antialias=True).to(masks.dtype)
        _, iou, tokens, _ = self.masks(
            features,
            features.coarse,
            self._padding(len(masks))[:, None],
            multimask=True,
            dense=net.prompt_encoder.mask_embed(dense),
        )
        token = tokens[torch.arange(len(masks), device=masks.device), 0, iou[:, 0].argmax(-1)]
        score = (masks > 0).flatten(1).any(1)[:, None].to(masks.dtype) * 20 - 10
        remembered, pointer = memory.add(features.coarse, high[:, 0], token, score, prompted=True)
        mask = low.to(masks.dtype)
        return Step(mask, mask, torch.ones_like(iou[:, 0]), score, remembered, pointer)
