"""Programs that measure speed and memory run through and keep both sides; what they measure is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from official_layouts import write_mp4

from grounding_core.plugins import registry

PROGRAMS = {
    "training": ("--questions", "2", "--tokens", "4"),
    "kernels": ("--variants", "channels-last,bf16", "--frames", "2", "--rounds", "1"),
    "objects": ("--recipe", "videoglamm-tiny", "--frames", "2", "--objects", "2"),
    "memory": ("--frames", "8,16"),
    "reading": ("CLIP", "--frames", "16", "--rounds", "1"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_prints_and_keeps_its_figures(name: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_mp4(clip, np.stack([np.full((48, 64, 3), 8 * index, np.uint8) for index in range(24)]))
    options = [str(clip) if option == "CLIP" else option for option in PROGRAMS[name]]
    command = [sys.executable, "-m", f"benchmarks.perf.{name}", *options, "--out", str(tmp_path / "out")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    (kept,) = (tmp_path / "out").glob(f"{name}*.json")
    found = json.loads(kept.read_text())
    assert found["machine"]["cores"] and found["figures"]
    for figure in found["figures"]:
        assert figure["ratio"] > 0 and figure["slow"] and figure["fast"]
        assert figure["what"].split()[0] in ran.stdout


@pytest.mark.slow
def test_a_training_is_told_from_a_few_steps(tmp_path: Path) -> None:
    stages = [
        {"name": "places", "objective": "words", "steps": 600, "videos": 2},
        {
            "name": "talk",
            "steps": 60,
            "videos": 2,
            "queries": 2,
            "losses": {"bce": 0, "dice": 0, "visible": 0},
        },
    ]
    registry().load("dataset", "sprites")().prepare(tmp_path, split="val", videos=3)
    options = ["--set", f"training.stages={json.dumps(stages)}", "--steps", "2", "--data-root", tmp_path]
    command = [sys.executable, "-m", "benchmarks.perf.curriculum", *options, "--out", tmp_path / "out"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / "out" / "curriculum.json").read_text())["stages"]
    assert [(row["stage"], row["steps"]) for row in found] == [("places", 600), ("talk", 60)]
    for row in found:
        assert row["minutes"] == pytest.approx(row["steps"] * row["seconds a step"] / 60, abs=0.06)
        assert row["operations a step"] > 100
    assert "hours here" in ran.stdout
