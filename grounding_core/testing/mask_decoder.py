"""Conformance of mask decoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grounding_core.hookspecs import Kind
from grounding_core.interfaces.mask_decoder import MaskDecoder
from grounding_core.interfaces.spatial_prompts import Propagation, SpatialPrompts
from grounding_core.interfaces.specs import DecoderSpec
from grounding_core.testing.adapters import noise
from grounding_core.testing.component import ComponentConformance, device_of
from grounding_core.testing.encoders import clip
from grounding_core.video import Video


def video(frames: int, height: int = 40, width: int = 56) -> Video:
    """Noise as a video."""
    return Video.open(clip(frames, height, width).numpy())


class MaskDecoderConformance(ComponentConformance):
    """A `grounding_core.interfaces.mask_decoder.MaskDecoder`."""

    kind: ClassVar[Kind] = "mask_decoder"
    role = MaskDecoder

    @classmethod
    def construct(cls, config: Any) -> nn.Module:
        component: type[MaskDecoder] = cls.component()
        return component(config)  # type: ignore[call-arg]

    @pytest.fixture(scope="class")
    @classmethod
    def prompts(cls, config: Any) -> Tensor:
        """Prompts (3, p, dp)."""
        spec: DecoderSpec = cls.component().spec(config)
        return noise(3, spec.prompt_tokens, spec.prompt_width)

    def track(self, decoder: MaskDecoder, source: Video, prompts: Tensor) -> Tensor:
        """Logits (t, k, H, W) of all frames."""
        with torch.inference_mode():
            return torch.stack(list(decoder.track(decoder.open(source), prompts)))

    def train_outputs(self, part: nn.Module, config: Any) -> Sequence[Tensor]:
        spec: DecoderSpec = self.component().spec(config)
        frames, owner = torch.stack([clip(2), clip(2, seed=1)]), torch.tensor([0, 1, 1])
        prompts = noise(3, spec.prompt_tokens, spec.prompt_width)
        logits, visible = part(*(value.to(device_of(part)) for value in (frames, prompts, owner)))
        return [logits, visible]

    def answer_outputs(self, part: nn.Module, config: Any) -> Sequence[Tensor]:
        assert isinstance(part, MaskDecoder)
        spec: DecoderSpec = self.component().spec(config)
        prompts = noise(2, spec.prompt_tokens, spec.prompt_width).to(device_of(part))
        found = [self.track(part, video(3), prompts)]
        if isinstance(part, Propagation):
            for pointed in (
                SpatialPrompts(boxes=np.array([[4.0, 4, 20, 30]]), points=np.array([[[9.0, 9, 1]]])),
                SpatialPrompts(masks=np.eye(40, 56, dtype=np.bool_)[None]),
            ):
                followed = part.propagate(part.open(video(3)), pointed, 1)
                found.append(torch.stack([logits for _, logits in followed]))
        return found

    # ---- answers ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("shape", [(1, 40, 56), (3, 4, 4), (5, 33, 91)])
    def test_masks_of_every_frame_at_its_own_size(
        self, part: MaskDecoder, prompts: Tensor, shape: tuple[int, int, int]
    ) -> None:
        masks = self.track(part, video(*shape), prompts[:2])
        assert masks.shape == (shape[0], 2, *shape[1:])
        assert not masks.isnan().any()

    def test_objects_do_not_disturb_each_other(self, part: MaskDecoder, prompts: Tensor) -> None:
        source = video(3)
        together = self.track(part, source, prompts)
        for index in range(3):
            self.close(together[:, index : index + 1], self.track(part, source, prompts[index : index + 1]))

    def test_a_scene_serves_many_questions(self, part: MaskDecoder, prompts: Tensor) -> None:
        """Also after a question that was abandoned half-way."""
        with torch.inference_mode():
            scene = part.open(video(5))
            first = torch.stack(list(part.track(scene, prompts)))
            abandoned = part.track(scene, prompts)
            next(abandoned)
            abandoned.close()  # type: ignore[attr-defined]
            self.close(torch.stack(list(part.track(scene, prompts))), first)

    def test_frames_come_one_by_one(self, part: MaskDecoder, prompts: Tensor) -> None:
        with torch.inference_mode():
            first = next(iter(part.track(part.open(video(4)), prompts[:1])))
        assert first.shape == (1, 40, 56)

    # ---- training --------------------------------------------------------------------------------

    def test_training_shapes(self, part: MaskDecoder, prompts: Tensor) -> None:
        frames = torch.stack([clip(2, 33, 47), clip(2, 33, 47, seed=1)])
        for objects in (3, 0):
            with torch.no_grad():
                logits, visible = part(frames, prompts[:objects], torch.arange(objects) % 2)
            assert logits.shape[:2] == visible.shape == (objects, 2)
            assert logits.ndim == 4

    def test_prompts_belong_to_their_videos(self, part: MaskDecoder, prompts: Tensor) -> None:
        frames = torch.stack([clip(2), clip(2, seed=1)])
        with torch.no_grad():
            logits, visible = part(frames, prompts, torch.tensor([1, 0, 1]))
            for index, owner in enumerate((1, 0, 1)):
                one = slice(index, index + 1)
                alone = part(frames[owner : owner + 1], prompts[one], torch.tensor([0]))
                self.close(logits[one], alone[0])
                self.close(visible[one], alone[1])

    def test_gradients_reach_the_prompts(self, part: MaskDecoder, prompts: Tensor) -> None:
        prompts = prompts[:2].clone().requires_grad_()
        logits, _ = part(clip(2)[None], prompts, torch.tensor([0, 0]))
        (logits * noise(*logits.shape, seed=1)).sum().backward()
        assert prompts.grad is not None
        assert (prompts.grad.abs().amax((1, 2)) > 0).all()
