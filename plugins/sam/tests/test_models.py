"""Whole models keep the contract of grounders, and score in the harness beside composed ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from grounding_sam import standin
from safetensors.torch import load_file, save_file
from transformers import Sam3Model, Sam3VideoConfig, Sam3VideoModel

from grounding_core.compose import build, plan
from grounding_core.config import Recipe
from grounding_core.errors import CheckpointError, RecipeError
from grounding_core.testing import GrounderConformance
from grounding_core.types import Query
from grounding_core.video import Video


class TestGroundingDinoSam2(GrounderConformance):
    name = "grounding_dino_sam2"

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        torch.manual_seed(0)
        tracker = {"type": "sam2", "weights": str(standin.sam2(folder / "sam2")), "mode": "memory"}
        return {
            "weights": str(standin.grounding_dino(folder / "dino")),
            "tracker": tracker,
            "threshold": 0.0,
            "frames": 2,
        }


@pytest.mark.slow
class TestSam3(GrounderConformance):
    name = "sam3"

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        torch.manual_seed(0)
        tracker = {"type": "sam3", "weights": str(standin.sam3(folder / "tracker")), "mode": "memory"}
        return {
            "weights": str(standin.sam3_detector(folder / "detector")),
            "tracker": tracker,
            "threshold": 0.0,
            "frames": 2,
        }


FAMILY = (TestGroundingDinoSam2, TestSam3)


@pytest.fixture(scope="module", params=FAMILY)
def recipe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    options = request.param.make_options(tmp_path_factory.mktemp("weights"))
    return {"name": "tiny", "model": {"type": request.param.name, **options}}


def test_phrases_point_at_tracks(recipe: dict[str, Any]) -> None:
    model = build(Recipe.parse(recipe))
    frames = np.random.default_rng(0).integers(0, 255, (3, 40, 56, 3), dtype=np.uint8)
    seen = model.encode(Video.open(frames))
    refer, ask, describe = model.ground(
        seen, [Query("the red cat"), Query("What moves?", "ask"), Query("", "describe")]
    )
    assert (refer.text, refer.phrase(refer.spans[0])) == ("the red cat", "the red cat")
    assert refer.spans[0].tracks == tuple(range(len(refer.tracks)))
    assert ask.text == "What moves?" and all(ask.phrase(span).strip() for span in ask.spans)
    assert describe.text == "person, animal, vehicle"
    assert [describe.phrase(span) for span in describe.spans] == ["person", "animal", "vehicle"]
    assert sorted(i for span in describe.spans for i in span.tracks) == list(range(len(describe.tracks)))


def test_nothing_above_the_threshold(recipe: dict[str, Any]) -> None:
    strict = {**recipe, "model": {**recipe["model"], "threshold": 0.9999}}
    model = build(Recipe.parse(strict))
    with torch.no_grad():
        for parameter in model.finder.parameters():
            parameter.mul_(0.1)  # random detectors are sure of everything
    seen = model.encode(Video.open(np.zeros((2, 40, 56, 3), np.uint8)))
    refer, describe = model.ground(seen, [Query("the cat"), Query("", "describe")])
    assert (refer.text, refer.spans, refer.tracks) == ("the cat", (), ())
    assert (describe.text, describe.tracks) == ("Nothing was found.", ())


def test_misfits_are_found_without_weights() -> None:
    model = {"type": "grounding_dino_sam2", "weights": "x", "tracker": {"type": "sam2", "mod": "memory"}}
    with pytest.raises(RecipeError, match=r"model\.tracker: .*sam2\.mode field required; sam2\.mod no such"):
        plan(Recipe.parse({"name": "r", "model": model}))
    with pytest.raises(RecipeError, match="nobody"):
        plan(Recipe.parse({"name": "r", "model": {**model, "tracker": {"type": "nobody"}}}))


def test_missing_weights(recipe: dict[str, Any], tmp_path: Path) -> None:
    elsewhere = {**recipe, "model": {**recipe["model"], "weights": str(tmp_path)}}
    with pytest.raises(CheckpointError, match=r"weights: .* has no config\.json"):
        build(Recipe.parse(elsewhere))


@pytest.mark.slow
def test_scores_in_the_harness(recipe: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipe))
    command = [
        sys.executable,
        "-m",
        "benchmarks.run",
        "--tasks",
        "refseg",
        "--limit",
        "2",
        "--recipe",
        str(file),
    ]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "tiny" in done.stdout


@pytest.mark.parametrize(
    ("find", "gone"), [(TestGroundingDinoSam2, "text_backbone."), (TestSam3, "text_encoder.")]
)
def test_detectors_without_their_text_tower_are_refused(find: Any, gone: str, tmp_path: Path) -> None:
    options = find.make_options(tmp_path)
    file = Path(options["weights"]) / "model.safetensors"
    kept = {key: value for key, value in load_file(file).items() if gone not in key}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=rf"lack \d+ keys of .*{gone}"):
        build(Recipe.parse({"name": "tiny", "model": {"type": find.name, **options}}))


def test_detector_and_tracker_read_their_part_of_one_folder(tmp_path: Path) -> None:
    """SAM 3 is published as one video model, in which the tracker has no image encoder of its own."""
    detector = Sam3Model.from_pretrained(standin.sam3_detector(tmp_path))
    both = Sam3VideoModel(
        Sam3VideoConfig(
            detector_config=detector.config.to_dict(), tracker_config=standin.sam3_tracker_config().to_dict()
        )
    )
    both.save_pretrained(tmp_path)
    tracker = {"type": "sam3", "weights": str(tmp_path), "mode": "memory"}
    recipe = {"name": "one", "model": {"type": "sam3", "weights": str(tmp_path), "tracker": tracker}}
    model = build(Recipe.parse(recipe))
    expected = both.tracker_neck.fpn_layers[0].proj2.weight
    torch.testing.assert_close(model.tracker.network.vision_encoder.neck.fpn_layers[0].proj2.weight, expected)
