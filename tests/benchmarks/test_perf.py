"""Programs that measure speed and memory run through and keep both sides; what they measure is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from official_layouts import write_mp4

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
