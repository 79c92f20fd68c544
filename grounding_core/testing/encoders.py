"""Conformance of image and video encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from grounding_core.hookspecs import Kind
from grounding_core.interfaces.encoders import FrameEncoder, ImageEncoder, VideoEncoder
from grounding_core.interfaces.specs import EncoderSpec
from grounding_core.testing.component import ComponentConformance, device_of

SIZES = [(37, 53), (64, 24), (7, 90)]


def clip(frames: int, height: int = 40, width: int = 56, seed: int = 0) -> Tensor:
    """Noise as a clip, uint8 (t, H, W, 3)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, height, width, 3), dtype=torch.uint8, generator=generator)


class FrameEncoderConformance(ComponentConformance):
    """What image and video encoders share."""

    @classmethod
    def construct(cls, config: Any) -> nn.Module:
        component: type[FrameEncoder] = cls.component()
        return component(config)  # type: ignore[call-arg]

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, config: Any) -> EncoderSpec:
        """What the encoder says of itself."""
        component: type[FrameEncoder] = cls.component()
        return component.spec(config)

    @pytest.fixture(scope="class")
    @classmethod
    def fewest(cls, spec: EncoderSpec) -> int:
        """Frames of the shortest clip the encoder takes."""
        return spec.multiple

    def train_outputs(self, part: nn.Module, config: Any) -> Sequence[Tensor]:
        spec = self.component().spec(config)
        return [part([clip(spec.multiple).to(device_of(part))])]

    def answer_outputs(self, part: nn.Module, config: Any) -> Sequence[Tensor]:
        spec = self.component().spec(config)
        return [part([clip(spec.multiple)])]  # frames come as they were decoded

    def test_spec_is_what_comes_out(self, part: nn.Module, spec: EncoderSpec, fewest: int) -> None:
        frames = 2 * fewest
        with torch.no_grad():
            features = part([clip(frames), clip(frames, seed=1)])
        assert features.shape == (2, frames // spec.stride, spec.tokens, spec.width)
        assert features.isfinite().all()
        if spec.grid is not None:
            assert spec.grid[0] * spec.grid[1] == spec.tokens

    def test_frames_of_any_size(self, part: nn.Module, spec: EncoderSpec, fewest: int) -> None:
        clips = [clip(fewest, *size) for size in SIZES]
        with torch.no_grad():
            features = part(clips)
        assert features.shape == (len(SIZES), fewest // spec.stride, spec.tokens, spec.width)

    def test_batched_is_alone(self, part: nn.Module, fewest: int) -> None:
        clips = [clip(fewest, *size, seed=seed) for seed, size in enumerate(SIZES)]
        with torch.no_grad():
            together = part(clips)
            for index, each in enumerate(clips):
                self.close(together[index : index + 1], part([each]))

    def test_looks_at_the_frames(self, part: nn.Module, fewest: int) -> None:
        with torch.no_grad():
            one, other = part([clip(fewest)]), part([clip(fewest, seed=1)])
        assert not torch.allclose(one, other, atol=self.tolerance)


class ImageEncoderConformance(FrameEncoderConformance):
    """An `grounding_core.interfaces.encoders.ImageEncoder`."""

    kind: ClassVar[Kind] = "image_encoder"
    role = ImageEncoder

    def test_frames_do_not_see_each_other(self, part: nn.Module, spec: EncoderSpec) -> None:
        assert spec.chunk == spec.stride == 1
        frames = clip(3)
        with torch.no_grad():
            self.close(part([frames])[:, 1:2], part([frames[1:2]]))


class VideoEncoderConformance(FrameEncoderConformance):
    """A `grounding_core.interfaces.encoders.VideoEncoder`."""

    kind: ClassVar[Kind] = "video_encoder"
    role = VideoEncoder

    def test_sees_frames_together(self, part: nn.Module, fewest: int) -> None:
        """The features of a clip's last frames change with its first frame."""
        frames = clip(2 * fewest if fewest == 1 else fewest)
        changed = torch.cat([255 - frames[:1], frames[1:]])
        with torch.no_grad():
            one, other = part([frames]), part([changed])
        assert not torch.equal(one[:, -1], other[:, -1])
