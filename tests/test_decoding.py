"""Answers of recorded steps, and steps of fixed shapes, are those of a growing cache."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import grounding_core as gc
from grounding_core.errors import GroundingError
from grounding_core.interfaces.language_model import LanguageModel

CUDA = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")],
)
QUESTIONS = [gc.Query("the yellow bus"), gc.Query("the thing that moves"), gc.Query("", "describe")]


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("window", ["null", "200"])
def test_recorded_steps_give_the_same_answers(clip: Path, device: str, window: str) -> None:
    found = []
    for graphs in ("false", "true"):
        overrides = [f"generation.cuda_graphs={graphs}", f"language_model.sliding_window={window}"]
        model = gc.load("videoglamm-tiny", overrides=overrides).to(device)
        found.append([model.ground(clip, question) for question in QUESTIONS])
        # Together: rows that end at different steps.
        found[-1] += model.ground(clip, QUESTIONS)
    for plain, recorded in zip(*found, strict=True):
        assert plain.text and recorded == plain


def test_models_without_steps_say_so() -> None:
    class Other(LanguageModel):
        """A language model that knows nothing of recording."""

    with pytest.raises(GroundingError, match=r"generation\.cuda_graphs: Other has no steps to record"):
        LanguageModel.use_cuda_graphs(Other.__new__(Other))  # type: ignore[abstract]
