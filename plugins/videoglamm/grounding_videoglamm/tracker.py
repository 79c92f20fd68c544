"""SAM 2 and its successors as mask decoders: through the frames of a video, by each or by memory.

Two ways to decode: framewise (each frame by itself, the way the model is trained) and with video
memory (prompted on one frame, then tracked; all objects in one batch).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.dataset import Box
from grounding_core.interfaces.spatial_prompts import SpatialPrompts
from grounding_core.interfaces.specs import DecoderSpec
from grounding_core.scene import Scene
from grounding_core.video import Video
from grounding_videoglamm.pieces import strongest_piece
from grounding_videoglamm.sam2_memory import Memory
from grounding_videoglamm.sam_network import Features, SamNetwork, Start

AT_ONCE = 64
"""Masks decoded together, so that many objects in a batch of frames take no more memory than few."""


class TrackerConfig(ComponentConfig):
    """How a tracker decodes."""

    mode: Literal["framewise", "memory"] = Field(
        description="Decode each frame by itself with the prompt, or prompt the first and track by memory."
    )
    trained_by: Literal["framewise", "memory"] = Field(
        default="framewise",
        description="How training decodes the frames it draws: each by itself, one mask a prompt, as the "
        "reference trains; or as if they followed each other, through the memory.",
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
    one_piece: bool = Field(
        default=False,
        description="Of a prompted object's mask keep the connected piece with the largest sum of logits, "
        "for decoders that spill onto things alike. An object that others hide in part may be cut.",
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
    compile_features: bool = Field(
        default=False,
        description="Compile the vision encoder with torch.compile: some seconds at the first frames, faster "
        "from then on. On a CPU it needs a C++ compiler.",
    )
    budget_mb: int = Field(
        default=2048,
        ge=0,
        description="Image features kept for further questions; frames beyond are computed again.",
    )


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


class Tracker(SamNetwork):
    """A network of the SAM 2 family whose sparse prompt is an embedding.

    Class attributes:
        memory_class: what its tracker remembers.
    """

    memory_class: ClassVar[type[Memory]] = Memory

    def __init__(self, config: TrackerConfig, network: Any) -> None:
        """Args:
        config: how to decode.
        network: a video model of transformers.
        """
        super().__init__(network)
        self.config = config
        if config.compile_features:
            network.vision_encoder.compile()

    @classmethod
    def network_config(cls, config: Any) -> Any:
        """The network's sizes, as transformers' configuration."""
        raise NotImplementedError

    @classmethod
    def spec(cls, config: Any) -> DecoderSpec:
        width = cls.network_config(config).mask_decoder_config.hidden_size
        return DecoderSpec(width, config.prompt_tokens, tracks=config.mode == "memory")

    def forward(self, frames: Tensor, prompts: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """See `MaskDecoder.forward`: framewise or by memory, as ``trained_by`` says."""
        if self.config.trained_by == "memory" and len(prompts):
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
            yield self.at_frame_size(scene, strongest_piece(logits) if self.config.one_piece else logits)

    def track_boxes(self, scene: Scene[Features], boxes: Sequence[Mapping[int, Box]]) -> Iterator[Tensor]:
        """See `grounding_core.interfaces.box_prompts.BoxPrompts`.

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
        tokens = torch.cat([self.no_point(len(prompts)), prompts], dim=1)
        return Start(tokens, multimask=self.config.multimask, frames=self.config.prompted_frames)

    def propagate(
        self, scene: Scene[Features], prompts: SpatialPrompts, frame: int = 0
    ) -> Iterator[tuple[int, Tensor]]:
        """See `grounding_core.interfaces.spatial_prompts.Propagation`; by memory, whatever the mode.

        The way back starts from the prompted frame again and remembers nothing of the way forward.
        """
        start = self.start_of(scene.video, prompts)
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

    def _remember(self, batches: Iterable[Features], start: Start, *, frames: int) -> Iterator[Step]:
        """Track through frames, the first of which are prompted; ``frames`` is the length of the video."""
        config = self.config
        memory = self.memory_class(
            self.network, bf16=config.bf16_memory, binary=config.binary_memory, frames=frames
        )
        k = len(start.sparse)
        padding = self.no_point(k)
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
            self.no_point(len(masks))[:, None],
            multimask=True,
            dense=net.prompt_encoder.mask_embed(dense),
        )
        token = tokens[torch.arange(len(masks), device=masks.device), 0, iou[:, 0].argmax(-1)]
        score = (masks > 0).flatten(1).any(1)[:, None].to(masks.dtype) * 20 - 10
        remembered, pointer = memory.add(features.coarse, high[:, 0], token, score, prompted=True)
        mask = low.to(masks.dtype)
        return Step(mask, mask, torch.ones_like(iou[:, 0]), score, remembered, pointer)
