"""Recipes: overrides, validation, and every problem that planning finds, with its path."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from small import small_model, small_recipe

from grounding_core.checkpoint import load_weights, save_weights
from grounding_core.compose import build, plan
from grounding_core.config import Recipe
from grounding_core.errors import CheckpointError, RecipeError


def problems(overrides: list[str], recipe: str = "videoglamm-tiny") -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        plan(Recipe.load(recipe, overrides))
    return dict(caught.value.problems)


@pytest.mark.parametrize("name", ["videoglamm-tiny", "videoglamm"])
def test_shipped_recipes_plan(name: str) -> None:
    planned = plan(Recipe.load(name))
    assert set(planned.parts) == {
        "image_encoder", "video_encoder", "image_adapter", "video_adapter",
        "language_model", "prompt_adapter", "mask_decoder",
    }  # fmt: skip


def test_published_token_counts() -> None:
    """16 frames x 144 image tokens, then 16 x 64 video tokens (paper, section 4)."""
    assert plan(Recipe.load("videoglamm")).visual_tokens == {"image": 2304, "video": 1024}


@pytest.mark.parametrize(
    ("overrides", "path", "words"),
    [
        (["image_encoder.type=clop"], "image_encoder.type", "clip"),
        (["image_encoder.widht=3"], "image_encoder.widht", "no such option"),
        (["image_encoder.layers=many"], "image_encoder.layers", "integer"),
        (["sampling.frames=6"], "sampling.frames", "multiple of the 8 frames"),
        (["sampling.frames=0"], "sampling.frames", "greater than or equal to 1"),
        (["language_model.context=128"], "language_model", "too short"),
        (["seg=null"], "seg", "missing"),
        (["mask_decoder=null"], "mask_decoder", "missing"),
        (["image_encoder=null", "video_encoder=null"], "image_encoder", "one of them must see"),
        (["image_encoder=null"], "image_adapter", "image_adapter=null"),
        (["image_adapter=null"], "image_adapter", "needs one"),
        (["image_adapter.grid=[17,17]"], "image_adapter", "finer"),
        (["prompts.layout='{question}{visual}'"], "prompts.layout", "before"),
        (["prompts.layout='{question}'"], "prompts.layout", "exactly once"),
        (["prompts.refer=what"], "prompts.refer", "{text}"),
        (["prompts.answer='yes'"], "prompts.answer", "[SEG]"),
        (["seg.state=later"], "seg.state", "predicting"),
        (["model.type=clip"], "image_encoder", "beside `model`"),
        (["nonsense=1"], "nonsense", "no such option"),
        (["training.stages.langage.videos=4"], "training.stages.langage.videos", "masks, aligned, language"),
        (["training.stages.language=4"], "training.stages.language", "language.option=value"),
    ],
)  # fmt: skip
def test_each_problem_is_named_with_its_path(overrides: list[str], path: str, words: str) -> None:
    found = problems(overrides)
    assert words in found[path]


def test_seg_facts_have_no_default() -> None:
    found = problems(["seg={token: x}"])
    assert {"seg.state", "seg.norm"} <= set(found)


def test_all_problems_come_at_once() -> None:
    found = problems(["image_encoder.type=clop", "sampling.frames=6", "prompts.refer=what"])
    assert len(found) == 3


def test_another_type_drops_the_old_options() -> None:
    recipe = Recipe.load("videoglamm-tiny", ["image_encoder.type=other", "image_encoder.depth=2"])
    assert recipe.image_encoder is not None
    assert recipe.image_encoder.options == {"depth": 2}


def test_text_is_lower_cased_for_the_kinds_that_the_model_learned_so() -> None:
    tiny, reference = (Recipe.load(name).prompts for name in ("videoglamm-tiny", "videoglamm"))
    assert tiny is not None and reference is not None
    assert tiny.question("ask", "What moves?") == tiny.question("ask", "what moves?")
    assert "the cat" in reference.question("refer", "The Cat")
    assert "What moves?" in reference.question("ask", "What moves?")


def test_entries_of_a_list_go_by_their_names() -> None:
    before, after = (
        {stage.name: stage.videos for stage in Recipe.load("videoglamm-tiny", overrides).training.staged()}
        for overrides in ([], ["training.stages.language.videos=3"])
    )
    assert after == before | {"language": 3}


@pytest.mark.parametrize(
    "override", ["sampling", "=3", "name.deep=3", "sampling.frames=[1", "sampling=&a {a: *a}"]
)
def test_malformed_overrides(override: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.load("videoglamm-tiny", [override])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2]", "mapping"),
        ("a: [", "not valid YAML"),
        ("", "mapping"),
        ("a: &a [*a]", "have no end: an alias"),
    ],
)
def test_files_that_are_no_recipes(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(content)
    with pytest.raises(RecipeError, match=words):
        Recipe.load(file)


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="does not exist"):
        Recipe.load(tmp_path / "none.yaml")


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(yaml.safe_dump({"name": "r", "checkpoint": "./weights"}))
    assert Recipe.load(file).checkpoint == str(tmp_path / "weights")


def test_paths_in_overrides_are_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("mine", "./mine"):
        found = Recipe.load("videoglamm-tiny", [f"checkpoint={text}"]).checkpoint
        assert found is not None and Path(found).absolute() == tmp_path / "mine"


def test_a_folder_without_a_recipe_is_not_looked_for_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/x", "videoglamm-tiny"):
        Path(folder).mkdir(parents=True)
    for source in ("runs/x", tmp_path):
        with pytest.raises(RecipeError, match=r"no recipe\.yaml in this folder; name a folder"):
            Recipe.load(source)
    assert Recipe.load("videoglamm-tiny").name == "videoglamm-tiny"  # an installed one's name comes first


def test_the_fingerprint_follows_what_shapes_predictions(tmp_path: Path) -> None:
    base = small_recipe(tmp_path)
    assert base.fingerprint() == small_recipe(tmp_path, "training.steps=7", "description=x").fingerprint()
    assert base.fingerprint() != small_recipe(tmp_path, "sampling.frames=12").fingerprint()


def test_weights_go_through_disk(tmp_path: Path) -> None:
    one, other = small_model(tmp_path, seed=1), small_model(tmp_path, seed=2)
    save_weights(one.state_dict(), tmp_path / "w")
    load_weights(other, tmp_path / "w")
    for (key, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


def test_damaged_or_foreign_weights_are_named(tmp_path: Path) -> None:
    model = small_model(tmp_path)
    file = save_weights(model.state_dict(), tmp_path / "w")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        load_weights(model, tmp_path / "w")
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        load_weights(model, tmp_path / "nothing")
    file.write_bytes(whole)
    with pytest.raises(CheckpointError, match=r"image_adapter.*which this model does not have"):
        load_weights(small_model(tmp_path, "image_encoder=null", "image_adapter=null"), tmp_path / "w")
    with pytest.raises(CheckpointError, match=r"has shape"):
        load_weights(
            small_model(tmp_path, "prompt_adapter.type=mlp", "mask_decoder.width=192"), tmp_path / "w"
        )
    with pytest.raises(CheckpointError, match="lacks"):
        load_weights(small_model(tmp_path, "image_encoder.layers=2"), tmp_path / "w")


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="tokenizer"):
        build(Recipe.load("videoglamm-tiny", [f"language_model.tokenizer={tmp_path}"]))
    for part in ("image_encoder", "mask_decoder", "language_model"):
        found = problems([f"{part}.weights={tmp_path}"])
        assert "has no config.json" in found[part]


def test_the_fingerprint_does_not_know_where_the_recipe_lies(tmp_path: Path) -> None:
    prints = set()
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        file = tmp_path / place / "r.yaml"
        file.write_text(yaml.safe_dump({"name": "r", "language_model": {"type": "x", "tokenizer": "./t"}}))
        prints.add(Recipe.load(file).fingerprint())
    assert len(prints) == 1
