"""The conformance kit finds what it is for: parts that break their contract fail its tests."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from grounding_videoglamm.adapters import MlpPoolAdapter, MlpPromptAdapter
from grounding_videoglamm.clip import ClipEncoder
from pydantic import Field
from torch import Tensor, nn

from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.specs import EncoderSpec
from grounding_core.testing import (
    ComponentConformance,
    ImageEncoderConformance,
    PromptAdapterConformance,
    VisionAdapterConformance,
)


class Clip(ImageEncoderConformance):
    name = "clip"
    options: ClassVar = {
        "image_size": 28,
        "patch_size": 14,
        "width": 16,
        "layers": 2,
        "heads": 2,
        "mlp_width": 24,
    }


class Pool(VisionAdapterConformance):
    name = "mlp_pool"


class Prompt(PromptAdapterConformance):
    name = "mlp"


class WrongSpec(ClipEncoder):
    @classmethod
    def spec(cls, config: Any) -> EncoderSpec:
        return EncoderSpec(width=16, tokens=5)


class MixesFrames(ClipEncoder):
    def forward(self, clips: Any) -> Tensor:
        features = super().forward(clips)
        return features + features.mean(1, keepdim=True)


class MixesClips(ClipEncoder):
    def forward(self, clips: Any) -> Tensor:
        features = super().forward(clips)
        return features + features.mean(0, keepdim=True)


class Fickle(MlpPoolAdapter):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + torch.rand(1)


class Cut(MlpPoolAdapter):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.detach())


class Forgets(MlpPoolAdapter):
    """Keeps a weight outside its state."""

    def __init__(self, config: Any, **neighbours: Any) -> None:
        super().__init__(config, **neighbours)
        self.factor = [torch.randn(1)]

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.factor[0]


class StaysBehind(MlpPoolAdapter):
    """Makes a tensor where PyTorch does by itself."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + torch.ones(1, 1, 24)


class Idle(MlpPromptAdapter):
    def __init__(self, config: Any, **neighbours: Any) -> None:
        super().__init__(config, **neighbours)
        self.idle = nn.Linear(2, 2)


class Fixed(MlpPromptAdapter):
    def forward(self, states: Tensor) -> Tensor:
        return super().forward(states)[:, :1]


class Silent(ComponentConfig):
    width: int = 3


class Rounds(ComponentConfig):
    """What it takes in is not what it gives out."""

    width: Any = Field(default=(1, 2), description="A pair.")


class Mute(MlpPromptAdapter):
    Config = Silent  # type: ignore[assignment]


class Lossy(MlpPromptAdapter):
    Config = Rounds  # type: ignore[assignment]


CASES = [
    (Clip, WrongSpec, "test_spec_is_what_comes_out"),
    (Clip, MixesFrames, "test_frames_do_not_see_each_other"),
    (Clip, MixesClips, "test_batched_is_alone"),
    (Pool, Fickle, "test_gives_the_same_twice"),
    (Pool, Cut, "test_gradients_reach_the_features"),
    (Pool, Forgets, "test_weights_go_through_disk"),
    (Pool, StaysBehind, "test_computes_where_its_weights_are"),
    (Prompt, Idle, "test_gradients_reach_every_parameter"),
    (Prompt, Fixed, "test_prompts_fit_the_decoder"),
    (Prompt, Mute, "test_options_are_described"),
    (Prompt, Lossy, "test_options_go_through_json"),
    (Pool, MlpPromptAdapter, "test_entry_says_what_it_is"),
]


@pytest.mark.parametrize(
    ("suite", "broken", "test"), CASES, ids=lambda x: x if isinstance(x, str) else x.__name__
)
def test_what_breaks_the_contract_fails(
    suite: type[ComponentConformance], broken: type, test: str, tmp_path: Any
) -> None:
    case = type("Case", (suite,), {"component": classmethod(lambda cls: broken)})()
    config = broken.Config(**case.options)
    method = getattr(case, test)
    known: dict[str, Any] = {"config": config, "tmp_path": tmp_path}
    wanted = method.__code__.co_varnames[1 : method.__code__.co_argcount]
    if "part" in wanted:
        known["part"] = case.make(config)
    if "spec" in wanted:
        known["spec"] = broken.spec(config)
    if "fewest" in wanted:
        known["fewest"] = 1
    with pytest.raises((AssertionError, RuntimeError)):
        method(**{name: known[name] for name in wanted})
