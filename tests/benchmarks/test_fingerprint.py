"""What two runs must share for one's answers to be the other's."""

from pathlib import Path

import pytest
import yaml

from benchmarks.predictors import RecipePredictor
from grounding_core.config import Recipe


def write(path: Path, **content: object) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def facts(recipe: Path) -> dict[str, str]:
    return RecipePredictor(Recipe.load(recipe)).fingerprint()


@pytest.mark.parametrize("place", ["weights", "tracker.weights", "finders"])
def test_what_lies_in_a_folder_that_an_option_names(tmp_path: Path, place: str) -> None:
    weights = tmp_path / "weights" / "model.safetensors"
    weights.parent.mkdir()
    key, _, inner = place.partition(".")
    named = str(weights.parent)
    options = {key: {"type": "other", inner: named} if inner else [named] if key == "finders" else named}
    recipe = write(tmp_path / "r.yaml", name="r", model={"type": "whole", **options})
    seen = []
    for content in (b"epoch 1", b"epoch 2", b"epoch 1"):
        weights.write_bytes(content)
        seen.append(facts(recipe))
    assert seen[0] == seen[2] != seen[1]
    (changed,) = {key for key in seen[0] if seen[0][key] != seen[1][key]}
    assert changed.startswith(f"model.{place}")
    (weights.parent / "config.json").write_text("{}")
    assert facts(recipe) != seen[0]


def test_a_file_that_an_option_of_a_part_names(tmp_path: Path) -> None:
    vocabulary = tmp_path / "vocabulary.txt"
    vocabulary.write_text("a b")
    recipe = write(
        tmp_path / "r.yaml", name="r", language_model={"type": "x", "tokenizer": "./vocabulary.txt"}
    )
    before = facts(recipe)
    vocabulary.write_text("a c")
    assert facts(recipe) != before


def test_a_recipe_inside_another(tmp_path: Path) -> None:
    inner = write(tmp_path / "inner.yaml", extends="videoglamm-tiny", name="inner")
    outer = write(tmp_path / "outer.yaml", name="outer", model={"type": "chunked", "recipe": str(inner)})
    before = facts(outer)
    assert before["model.recipe generation"] == "greedy, at most 128 tokens"
    assert "generation" not in before and before["model.recipe checkpoint"]
    write(inner, extends="videoglamm-tiny", name="inner", generation={"max_new_tokens": 2})
    after = facts(outer)
    assert after["model.recipe generation"] == "greedy, at most 2 tokens"
    assert after["model.recipe recipe_hash"] != before["model.recipe recipe_hash"]
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"1")
    whole = {"type": "chunked", "recipe": str(inner), "overrides": [f"checkpoint={folder}"]}
    write(outer, name="outer", model=whole)
    trained = facts(outer)
    (folder / "model.safetensors").write_bytes(b"2")
    assert facts(outer)["model.recipe checkpoint"] != trained["model.recipe checkpoint"]


def test_other_options_add_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what is named like a component where the command is given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "whole").mkdir()
    options = {"recipe": "of a cake", "says": "x" * 5000, "empty": "", "inner": {"type": "whole"}, "n": 3}
    recipe = write(tmp_path / "r.yaml", name="r", model={"type": "whole", **options})
    libraries = {"grounding-core", "torch", "transformers"}
    assert set(facts(recipe)) - libraries == {"recipe", "recipe_hash"}
