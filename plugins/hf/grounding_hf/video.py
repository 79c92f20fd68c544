"""Video towers of transformers: VideoMAE, V-JEPA 2, VideoPrism, ViViT and PE-video."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from grounding_core.errors import CheckpointError
from grounding_core.feature_maps import tried
from grounding_core.interfaces.encoders import VideoEncoder
from grounding_core.interfaces.specs import EncoderSpec
from grounding_core.pixels import squares
from grounding_hf.image import features_of, own_size
from grounding_hf.networks import POOLED, VisionConfig, class_of, described, load, normalisation, tower_of


class HfVideoConfig(VisionConfig):
    """Where a video tower comes from, how frames are prepared, and how many it sees at once."""

    frames: int | None = Field(
        default=None,
        ge=1,
        description="Frames seen at once; null: what the tower was made for. V-JEPA 2 takes other numbers.",
    )


class HfVideo(VideoEncoder):
    """Features of clips of a fixed number of frames; longer clips go through one after the other.

    Towers that cut clips into tubelets (a fact of their config) give a grid of patches, one frame of
    features for each tubelet. PE-video gives one token a frame.
    """

    Config = HfVideoConfig

    def __init__(self, config: HfVideoConfig) -> None:
        super().__init__()
        found = tower_of(described(config), "video_config", "vision_config")
        self.tower = load(class_of(found), found, config, what="Video weights", unused=POOLED)
        made_for = getattr(found, "num_frames", None) or getattr(found, "frames_per_clip", None)
        self.frames: int = config.frames or made_for or _unknown("frames")
        self.tubelet = _tubelet(found)
        own = own_size(found)
        self.size, self.fit = config.image_size or own or _unknown("image_size"), config.fit
        self.resized = self.size != own
        self.mean, self.std = normalisation(config)
        self.layer = config.layer
        if "skip_predictor" in inspect.signature(self.tower.forward).parameters:
            self.tower.predictor = nn.Identity()  # V-JEPA 2's, for its own training

    @classmethod
    def spec(cls, config: HfVideoConfig) -> EncoderSpec:
        with torch.device("meta"), torch.no_grad():
            encoder = cls(config)
            shape = (1, encoder.frames, 3, encoder.size, encoder.size)
            features = tried(encoder.features, torch.zeros(shape))
        stride = encoder.frames // features.shape[1]
        grid = None
        if encoder.tubelet is not None:
            grid = (encoder.size // encoder.tubelet[1], encoder.size // encoder.tubelet[2])
        return EncoderSpec(
            width=features.shape[3], tokens=features.shape[2], grid=grid, chunk=encoder.frames, stride=stride
        )

    def features(self, pixels: Tensor) -> Tensor:
        """Clips (b, frames, 3, size, size) -> features (b, frames / stride, n, dv)."""
        asked = inspect.signature(self.tower.forward).parameters
        name = "pixel_values_videos" if "pixel_values_videos" in asked else "pixel_values"
        inputs: dict[str, Any] = {name: pixels}
        if "interpolate_pos_encoding" in asked:
            inputs["interpolate_pos_encoding"] = self.resized
        if "skip_predictor" in asked:
            inputs["skip_predictor"] = True
        features = features_of(self.tower, inputs, self.layer)
        if self.tubelet is None:
            if features.shape[1] != pixels.shape[1]:
                raise ValueError(f"{type(self.tower).__name__} gives neither tubelets nor one token a frame")
            return features[:, :, None]
        depth, height, width = self.tubelet
        times = pixels.shape[1] // depth
        count = times * (self.size // height) * (self.size // width)
        if len(features) != len(pixels) or features.shape[1] < count:
            raise ValueError(f"layer {self.layer} holds no clips")
        frames: Tensor = features[:, -count:].unflatten(1, (times, -1))
        return frames

    def forward(self, clips: Sequence[Tensor]) -> Tensor:
        pixels = squares(clips, self.size, self.fit, self.mean, self.std, next(self.parameters()))
        chunks = pixels.unflatten(1, (-1, self.frames)).flatten(0, 1)
        features: Tensor = self.features(chunks).unflatten(0, (len(clips), -1))
        return features.flatten(1, 2)


def _tubelet(found: Any) -> tuple[int, int, int] | None:
    """Frames, rows and columns of what becomes one token; None if the tower does not cut tubelets."""
    tubelet = getattr(found, "tubelet_size", None)
    if tubelet is None:
        return None
    if isinstance(tubelet, int):
        return tubelet, int(found.patch_size), int(found.patch_size)
    depth, height, width = tubelet
    return int(depth), int(height), int(width)


def _unknown(option: str) -> int:
    raise CheckpointError(f"The video tower does not say its {option}.", f"Give `{option}`.")
