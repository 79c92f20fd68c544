"""Adapters keep the contracts of their roles, and do what they are named for."""

from __future__ import annotations

import pytest
import torch
from grounding_adapters.merge import TokenMerge, merge

from grounding_core.errors import GroundingError
from grounding_core.interfaces.specs import EncoderSpec
from grounding_core.testing import PromptAdapterConformance, VisionAdapterConformance

SMALL = {"heads": 2, "head_width": 4}


class TestLinear(VisionAdapterConformance):
    name = "linear"


class TestMlp(VisionAdapterConformance):
    name = "mlp"
    options = {"layers": 3}


class TestResampler(VisionAdapterConformance):
    name = "resampler"
    options = {**SMALL, "queries": 3}


class TestResamplerOfClips(VisionAdapterConformance):
    name = "resampler"
    options = {**SMALL, "queries": 5, "over": "clip"}


class TestQFormer(VisionAdapterConformance):
    name = "qformer"
    options = {**SMALL, "queries": 3}


class TestTokenMerge(VisionAdapterConformance):
    name = "token_merge"
    options = {"keep": 5}


class TestMultiToken(PromptAdapterConformance):
    name = "multi_token"
    options = SMALL


class TestLookAgain(PromptAdapterConformance):
    name = "look_again"
    options = SMALL


def test_merging_keeps_the_mean() -> None:
    """Each token counts as often as tokens went into it: the weighted mean stays, here with equal weights."""
    tokens = torch.randn(2, 8, 6)
    assert torch.equal(merge(tokens, 8), tokens)
    torch.testing.assert_close(merge(tokens, 1)[:, 0], tokens.mean(1))


def test_equal_tokens_are_merged_first_and_order_stays() -> None:
    eye = torch.eye(6)
    tokens = torch.stack([eye[0], eye[0], eye[1], eye[2], eye[3], eye[4]])[None]
    torch.testing.assert_close(merge(tokens, 5)[0], eye[:5])


def test_time_matters_to_a_resampler_of_clips() -> None:
    case = TestResamplerOfClips()
    config = case.component().Config(**case.options)
    adapter = case.make(config)
    features = torch.randn(1, 4, 16, 16)
    with torch.no_grad():
        assert not torch.allclose(adapter(features), adapter(features.flip(1)))


def test_more_tokens_than_there_are() -> None:
    with pytest.raises(GroundingError, match="keep 64 is more than the encoder's 16 tokens"):
        TokenMerge.num_tokens(TokenMerge.Config(), EncoderSpec(width=8, tokens=16), 4)


def test_looking_again_changes_the_prompt() -> None:
    case = TestLookAgain()
    adapter = case.make(case.component().Config(**case.options))
    states, frames = torch.randn(2, 24), torch.randn(2, 5, 24)
    with torch.no_grad():
        assert not torch.allclose(adapter(states, frames), adapter(states, frames + 1.5 * frames.flip(1)))
        assert adapter(states, frames[:, :0]).isfinite().all()
