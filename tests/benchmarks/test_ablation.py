"""Variants of a small recipe, a step each: the table, and going on after an interruption."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1]))
from small import SMALL

from benchmarks.ablation import app
from grounding_core.plugins import registry

ABLATION = {
    "recipe": "videoglamm-tiny",
    "set": [*SMALL, "checkpoint=null", "training.stages=[]", "training.steps=1", "training.videos=1"],
    "variants": {"both": [], "image only": ["video_encoder=null", "video_adapter=null"]},
    "seeds": [0, 1],
    "measures": ["refseg jf", "gcg miou"],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    registry().load("dataset", "sprites")().prepare(folder, split="val", videos=2)
    return folder


def test_variants_are_trained_and_scored(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "ablation.yaml"
    file.write_text(yaml.safe_dump(ABLATION))
    common = [str(file), "--out", str(tmp_path / "out"), "--data-root", str(root), "--videos", "1"]
    command = [*common, "--data", "sprites:val"]
    done = CliRunner().invoke(app, command, env={"COLUMNS": "100"})
    assert done.exit_code == 0, done.output
    assert "image only" in done.output and "±" in done.output
    rows = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert set(rows) == {"both/0", "both/1", "image only/0", "image only/1"}
    assert all(0 <= row["refseg jf"] <= 1 for row in rows.values())
    weights = list((tmp_path / "out").glob("*/checkpoint/model.safetensors"))
    times = {path: path.stat().st_mtime_ns for path in weights}
    assert len(times) == 4
    again = CliRunner().invoke(app, command, env={"COLUMNS": "100"})
    assert again.exit_code == 0 and {path: path.stat().st_mtime_ns for path in weights} == times


def test_other_settings_are_not_mixed_in(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "ablation.yaml"
    file.write_text(yaml.safe_dump({**ABLATION, "variants": {"both": []}, "seeds": [0]}))
    command = [str(file), "--out", str(tmp_path / "out"), "--data-root", str(root), "--data", "sprites:val"]
    assert CliRunner().invoke(app, [*command, "--videos", "1"]).exit_code == 0
    done = CliRunner().invoke(app, [*command, "--videos", "2"])
    assert done.exit_code == 2


def test_a_malformed_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ablation.yaml"
    file.write_text("recipe: videoglamm-tiny\nvariant: {}\n")
    done = CliRunner().invoke(app, [str(file), "--out", str(tmp_path)])
    assert done.exit_code == 2 and "ablation.yaml" in done.output
