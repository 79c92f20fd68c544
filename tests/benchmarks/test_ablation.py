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
    command += ["--tasks", "refseg,gcg"]
    assert CliRunner().invoke(app, [*command, "--videos", "1"]).exit_code == 0
    for change, setting in (
        (["--videos", "2"], "videos"),
        (["--tasks", "gcg,refseg,grounding"], "validation"),
    ):
        done = CliRunner().invoke(app, [*command, "--videos", "1", *change])
        assert done.exit_code == 2 and setting in " ".join(done.output.split())

    manifest = root / "sprites-val.json"
    before = manifest.read_text()
    try:
        manifest.write_text(before + "\n")
        done = CliRunner().invoke(app, [*command, "--videos", "1"])
        assert done.exit_code == 2 and "settings: data, validation" in " ".join(done.output.split())
        # Interrupted before it was scored: it goes on with its own data only.
        result = tmp_path / "out" / "both-0" / "result.json"
        found = json.loads(result.read_text())
        result.write_text(json.dumps({"settings": found["settings"]}))
        assert CliRunner().invoke(app, [*command, "--videos", "1"]).exit_code == 2
        # Results of before they said on what data.
        del found["settings"]["data"], found["settings"]["validation"]
        result.write_text(json.dumps(found))
        assert CliRunner().invoke(app, [*command, "--videos", "1"]).exit_code == 0
    finally:
        manifest.write_text(before)


def test_a_measure_that_there_is_not_is_named_before_training(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "ablation.yaml"
    for measure in ("refseg JF", "gcg meteor", "refseg jf mood"):
        file.write_text(yaml.safe_dump({**ABLATION, "measures": ["refseg jf motion", measure]}))
        command = [str(file), "--out", str(tmp_path / "out"), "--data-root", str(root)]
        done = CliRunner().invoke(app, [*command, "--data", "sprites:val", "--videos", "1"])
        shown = " ".join(done.output.split())
        assert (
            done.exit_code == 2 and f"Nothing measures '{measure}'" in shown and "refseg jf motion" in shown
        )
        assert not (tmp_path / "out").exists()


def test_a_malformed_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ablation.yaml"
    file.write_text("recipe: videoglamm-tiny\nvariant: {}\n")
    done = CliRunner().invoke(app, [str(file), "--out", str(tmp_path)])
    assert done.exit_code == 2 and "ablation.yaml" in done.output
    for nothing in ("variants", "seeds", "measures"):
        file.write_text(yaml.safe_dump({**ABLATION, nothing: {} if nothing == "variants" else []}))
        done = CliRunner().invoke(app, [str(file), "--out", str(tmp_path)])
        assert done.exit_code == 2 and nothing in done.output and "at least 1" in done.output
