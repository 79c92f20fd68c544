"""Conformance of the adapters between vision and language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from grounding_core.hookspecs import Kind
from grounding_core.interfaces.adapters import PromptAdapter, VisionAdapter
from grounding_core.interfaces.specs import DecoderSpec, EncoderSpec
from grounding_core.testing.component import ComponentConformance, device_of

WIDTH = 24


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class VisionAdapterConformance(ComponentConformance):
    """A `grounding_core.interfaces.adapters.VisionAdapter`.

    Class attributes:
        sources: encoders it must fit behind; the first is used where one is enough.
        frames: clip lengths, in frames that come out of the encoder.
    """

    kind: ClassVar[Kind] = "vision_adapter"
    role = VisionAdapter
    sources: ClassVar[Sequence[EncoderSpec]] = (
        EncoderSpec(width=16, tokens=16, grid=(4, 4)),
        EncoderSpec(width=20, tokens=24, grid=(6, 4), chunk=4),
        EncoderSpec(width=8, tokens=25, grid=(5, 5), stride=2),
    )
    frames: ClassVar[Sequence[int]] = (1, 4, 7)

    @classmethod
    def construct(cls, config: Any) -> nn.Module:
        return cls.behind(config, cls.sources[0])

    @classmethod
    def behind(cls, config: Any, source: EncoderSpec) -> nn.Module:
        """The adapter of an encoder."""
        component: type[VisionAdapter] = cls.component()
        return component(config, source=source, width=WIDTH).eval()

    def train_outputs(self, part: nn.Module, config: Any) -> Sequence[Tensor]:
        source = self.sources[0]
        return [part(noise(2, 4, source.tokens, source.width).to(device_of(part)))]

    def test_as_many_tokens_as_it_says(self, config: Any) -> None:
        component: type[VisionAdapter] = self.component()
        for source in self._fitting():
            adapter = self.behind(config, source)
            for frames in self.frames:
                with torch.no_grad():
                    tokens = adapter(noise(2, frames, source.tokens, source.width))
                count = component.num_tokens(config, source, frames * source.stride)
                assert tokens.shape == (2, count, WIDTH), (source, frames)
                assert tokens.isfinite().all()

    def test_batched_is_alone(self, part: nn.Module) -> None:
        source = self.sources[0]
        features = noise(3, 4, source.tokens, source.width)
        with torch.no_grad():
            together = part(features)
            for index in range(3):
                self.close(together[index : index + 1], part(features[index : index + 1]))

    def test_gradients_reach_the_features(self, part: nn.Module) -> None:
        source = self.sources[0]
        features = noise(1, 2, source.tokens, source.width).requires_grad_()
        tokens = part(features)
        (tokens * noise(*tokens.shape, seed=1)).sum().backward()
        assert features.grad is not None
        assert (features.grad.abs().amax((2, 3)) > 0).all(), "a frame has no influence"

    def _fitting(self) -> list[EncoderSpec]:
        component: type[VisionAdapter] = self.component()
        if component.needs_grid:
            return list(self.sources)
        return [*self.sources, EncoderSpec(width=12, tokens=17)]


class PromptAdapterConformance(ComponentConformance):
    """A `grounding_core.interfaces.adapters.PromptAdapter`.

    Class attributes:
        targets: decoders it must fit before; the first is used where one is enough.
    """

    kind: ClassVar[Kind] = "prompt_adapter"
    role = PromptAdapter
    targets: ClassVar[Sequence[DecoderSpec]] = (DecoderSpec(16), DecoderSpec(8, prompt_tokens=3))

    @classmethod
    def construct(cls, config: Any) -> nn.Module:
        return cls.before(config, cls.targets[0])

    @classmethod
    def before(cls, config: Any, target: DecoderSpec) -> nn.Module:
        """The adapter of a decoder."""
        component: type[PromptAdapter] = cls.component()
        return component(config, width=WIDTH, target=target).eval()

    @classmethod
    def prompts(cls, adapter: nn.Module, states: Tensor) -> Tensor:
        """Prompts of states, in a video of five visual tokens where the adapter looks at it."""
        video = noise(1, 5, WIDTH).expand(len(states), -1, -1).to(states.device)
        seen = (video,) if cls.component().sees_frames else ()
        prompts: Tensor = adapter(states, *seen)
        return prompts

    def train_outputs(self, part: nn.Module, config: Any) -> Sequence[Tensor]:
        return [self.prompts(part, noise(4, WIDTH).to(device_of(part)))]

    def test_prompts_fit_the_decoder(self, config: Any) -> None:
        for target in self.targets:
            adapter = self.before(config, target)
            for objects in (0, 1, 5):
                with torch.no_grad():
                    prompts = self.prompts(adapter, noise(objects, WIDTH))
                assert prompts.shape == (objects, target.prompt_tokens, target.prompt_width)

    def test_objects_do_not_disturb_each_other(self, part: nn.Module) -> None:
        states = noise(3, WIDTH)
        with torch.no_grad():
            together = self.prompts(part, states)
            for index in range(3):
                self.close(together[index : index + 1], self.prompts(part, states[index : index + 1]))

    def test_no_objects_in_training(self, config: Any) -> None:
        adapter = self.before(config, self.targets[0]).train()
        assert len(self.prompts(adapter, noise(0, WIDTH))) == 0

    def test_gradients_reach_the_states(self, part: nn.Module) -> None:
        states = noise(3, WIDTH).requires_grad_()
        prompts = self.prompts(part, states)
        (prompts * noise(*prompts.shape, seed=1)).sum().backward()
        assert states.grad is not None
        assert (states.grad.abs().amax(1) > 0).all()
