"""``grounding recipe``: what a model is made of, without its weights, and what sets two recipes apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from small import small_model, small_recipe
from typer.testing import CliRunner

from grounding_core.cli import app
from grounding_core.compose import Plan, plan
from grounding_core.config import ROLES, Recipe
from grounding_core.errors import GroundingError
from grounding_core.outline import outline

Run = Callable[..., str]


@pytest.fixture
def recipe() -> Run:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["recipe", *arguments], env={"COLUMNS": "80"})
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_counts_are_those_of_the_model(tmp_path: Path) -> None:
    model = small_model(tmp_path)
    parts = outline(plan(small_recipe(tmp_path)))
    assert [part.role for part in parts] == list(ROLES)
    for part in parts:
        module = getattr(model, part.role)
        assert part.parameters == part.trained == sum(p.numel() for p in module.parameters())
        assert part.bytes(4) == 2 * part.bytes(2) >= 4 * part.parameters


@pytest.mark.parametrize(
    ("override", "trained"),
    [
        ("training.freeze=[language_model]", 0.0),
        ("training.lora={rank: 2}", 0.0),
        ("training.freeze=[language_model.network.model.embed_tokens]", 0.5),
    ],
)
def test_what_is_frozen_is_not_trained(tmp_path: Path, override: str, trained: float) -> None:
    (part,) = (
        p
        for p in outline(plan(small_recipe(tmp_path, override, "training.stages=[]")))
        if p.role == "language_model"
    )
    assert 0 <= part.trained < part.parameters
    assert (part.trained > 0) == (trained > 0)


def test_published_sizes_need_neither_weights_nor_tokenizer(recipe: Run) -> None:
    shown = json.loads(recipe("show", "videoglamm", "--json"))
    sizes = {part["role"]: part["parameters"] for part in shown["parts"]}
    assert sizes["language_model"] == 3_821_079_552  # Phi-3-mini-4k-instruct, by its model card 3.8 billion
    assert shown["bytes"]["fp32"] == 2 * shown["bytes"]["bf16"] > 4 * sum(sizes.values())
    assert (shown["visual_tokens"], shown["context"]) == ({"image": 2304, "video": 1024}, 4096)


@pytest.mark.parametrize("name", ["videoglamm-tiny", "videoglamm"])
def test_tables_fit_80_columns(recipe: Run, name: str) -> None:
    assert max(map(len, recipe("show", name).splitlines())) <= 80


def test_table_is_whole_in_a_narrow_terminal(recipe: Run) -> None:
    text = recipe("show", "videoglamm-tiny")
    for words in ("language model", "internvideo2", "grounding-videoglamm 0.1.0", "trained", "MiB fp32"):
        assert words in text
    assert "context of 1024: 256 visual tokens, 128 for the answer, 640 for words" in text


def test_a_whole_model_has_no_parts() -> None:
    planned = Plan(Recipe.parse({"name": "whole", "model": {"type": "any"}}))
    with pytest.raises(GroundingError, match="whole model 'any'"):
        outline(planned)


def test_difference_of_two_recipes(recipe: Run) -> None:
    found = json.loads(recipe("diff", "videoglamm", "videoglamm-32-frames", "--json"))
    assert found == {
        "image_adapter.grid": [[12, 12], [8, 8]],
        "video_adapter.grid": [[8, 8], [4, 4]],
        "sampling.frames": [16, 32],
    }
    text = recipe("diff", "videoglamm", "videoglamm-32-frames")
    assert "sampling.frames" in text
    assert "are the same" in recipe("diff", "videoglamm", "videoglamm")
    without = json.loads(recipe("diff", "videoglamm", "videoglamm-image", "--json"))
    assert without["video_encoder.type"] == ["internvideo2", None]
