"""Training by memory: the same masks as tracking gives, and gradients through what is remembered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_conformance import SAM2

from grounding_core.plugins import registry
from grounding_core.video import Video


@pytest.fixture(params=[True, False], ids=["three masks", "one mask"])
def decoder(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    component = registry().load("mask_decoder", "sam2")
    options = {
        **SAM2,
        "mode": "memory",
        "trained_by": "memory",
        "multimask": request.param,
        "bf16_memory": False,
    }
    return component(component.Config.model_validate(options)).eval()


def test_training_sees_what_tracking_gives(decoder: torch.nn.Module) -> None:
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)
    prompts = torch.randn(3, 1, 64)
    owner = torch.tensor([1, 0, 1])
    with torch.no_grad():
        masks, scores = decoder(torch.from_numpy(clips), prompts, owner)
        for video in (0, 1):
            rows = (owner == video).nonzero()[:, 0]
            scene = decoder.open(Video.open(clips[video]))
            for frame, step in enumerate(decoder.follow(scene, prompts[rows])):
                torch.testing.assert_close(masks[rows, frame], step.mask, atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(scores[rows, frame], step.score[:, 0], atol=1e-4, rtol=1e-4)


def test_a_later_frame_teaches_what_is_remembered(decoder: torch.nn.Module) -> None:
    # An object counts as there: of one that is absent nothing but its absence is remembered.
    torch.nn.init.constant_(decoder.network.mask_decoder.pred_obj_score_head.proj_out.bias, 50.0)
    frames = torch.randint(0, 256, (1, 2, 64, 64, 3), dtype=torch.uint8)
    prompts = torch.randn(2, 1, 64, requires_grad=True)
    masks, _ = decoder(frames, prompts, torch.zeros(2, dtype=torch.long))
    masks[:, 1].square().mean().backward()
    assert prompts.grad is not None and (prompts.grad.flatten(1).abs().sum(1) > 0).all()
    assert decoder.network.memory_attention.layers[0].linear1.weight.grad.abs().sum() > 0


def test_training_is_framewise_unless_asked(decoder: torch.nn.Module) -> None:
    """As the reference trains what then tracks by memory."""
    component, options = type(decoder), decoder.config.model_dump()
    taught = {
        name: component(component.Config.model_validate({**options, **own})).eval()
        for name, own in {
            "framewise": {"mode": "framewise", "trained_by": "framewise"},
            "tracked": {"trained_by": "framewise"},
        }.items()
    }
    clips = torch.randint(0, 256, (1, 3, 64, 64, 3), dtype=torch.uint8)
    prompts, owner = torch.randn(2, 1, 64), torch.tensor([0, 0])
    found = {}
    for name, one in taught.items():
        one.load_state_dict(decoder.state_dict())
        with torch.no_grad():
            found[name] = one(clips, prompts, owner)
    for one, other in zip(*found.values(), strict=True):
        assert torch.equal(one, other)
