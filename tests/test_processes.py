"""Two processes: each its share, and weights spread by FSDP 2 or DeepSpeed give what whole ones give."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import which

import pytest
import torch
from safetensors.torch import load_file
from small import SMALL
from training_runs import rows

from grounding_core.plugins import registry

pytestmark = pytest.mark.slow

FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "Phi3DecoderLayer",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",  # as `accelerate launch` has it where nothing is said
    "FSDP_SYNC_MODULE_STATES": "true",
}
DEEPSPEED = {"ACCELERATE_USE_DEEPSPEED": "true", "DS_ACCELERATOR": "cpu"}
SPREAD = {
    "fsdp": ("fsdp", FSDP),
    "zero2": ("deepspeed", {**DEEPSPEED, "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}),
    "zero3": ("deepspeed", {**DEEPSPEED, "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}),
}
STAGES = (
    "training.stages=[{{name: words, objective: words, steps: 1}}, {{name: prompts, objective: prompts, "
    "steps: 1}}, {{name: answers, steps: {steps}, losses: {{prompt: 1.0}}}}]"
)
LAST = "3-answers"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    registry().load("dataset", "sprites")().prepare(root, split="val", videos=4)
    return root


def launch(
    program: list[str], data: Path, out: Path, *overrides: str, environment: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *program]
    words += [
        "train",
        "videoglamm-tiny",
        "--data",
        "sprites:val",
        "--data-root",
        str(data),
        "--out",
        str(out),
    ]
    for item in (*SMALL, "training.decay=0", "training.validate_videos=1", *overrides):
        words += ["--set", item]
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def spread(kind: str, data: Path, out: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    name, environment = SPREAD[kind]
    if name == "deepspeed" and (importlib.util.find_spec("deepspeed") is None or which("c++") is None):
        pytest.skip("needs deepspeed and a C++ compiler")
    script = str(Path(__file__).with_name("spread_on_cpu.py"))
    return launch([script, name], data, out, *overrides, environment=environment)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes with all weights each."""
    out = tmp_path_factory.mktemp("whole")
    done = launch(["-m", "grounding_core.cli"], data, out, STAGES.format(steps=2))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 processes" in done.stderr and done.stdout.count("checkpoint: ") == 1
    return out


@pytest.mark.parametrize("kind", SPREAD)
def test_spread_weights_learn_the_same_and_resume_exactly(
    kind: str, whole: Path, data: Path, tmp_path: Path
) -> None:
    for out, steps in (("once", 2), ("halves", 1), ("halves", 2)):
        done = spread(kind, data, tmp_path / out, STAGES.format(steps=steps))
        assert done.returncode == 0, done.stderr[-2000:]
    assert "going on after step 1" in done.stderr
    for stage in ("1-words", "2-prompts", LAST):
        expected = [row["total"] for row in rows(whole / stage)]
        for out in ("once", "halves"):
            found = [row["total"] for row in rows(tmp_path / out / stage)]
            assert found == pytest.approx(expected, rel=1e-4)
    once, halves = (
        load_file(tmp_path / out / LAST / "checkpoint" / "model.safetensors") for out in ("once", "halves")
    )
    assert once.keys() == load_file(whole / LAST / "checkpoint" / "model.safetensors").keys()
    assert all(torch.equal(once[name], halves[name]) for name in once)


@pytest.mark.parametrize("kind", SPREAD)
def test_spread_weights_in_bf16_are_judged_on_the_way(kind: str, data: Path, tmp_path: Path) -> None:
    done = spread(
        kind, data, tmp_path, "training.stages=[]", "training.steps=2", "training.precision=bf16",
        "training.lora.rank=2", "training.recompute=true", "training.validate_every=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert [row["step"] for row in rows(tmp_path) if "total" in row] == [1, 2]


def test_the_first_fsdp_is_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FSDP, "FSDP_VERSION", "1")
    for only_on_gpus in ("FSDP_CPU_RAM_EFFICIENT_LOADING", "FSDP_SYNC_MODULE_STATES"):
        monkeypatch.delitem(FSDP, only_on_gpus)
    done = spread("fsdp", data, tmp_path, "training.stages=[]", "training.steps=1")
    assert done.returncode != 0 and "fsdp_version: 2" in done.stderr


def test_a_process_whose_videos_are_all_broken_passes_them_over(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    registry().load("dataset", "sprites")().prepare(root, split="val", videos=5)
    for file in root.rglob("val_00001.mp4"):
        file.write_bytes(b"no video")
    options = ("training.stages=[]", "training.steps=3", "training.videos=1", "training.max_failures=0.9")
    done = launch(["-m", "grounding_core.cli"], root, tmp_path / "run", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "videos were passed over" in done.stderr
    assert [row["step"] for row in rows(tmp_path / "run")] == [1, 2, 3]
    assert (tmp_path / "run" / "checkpoint" / "model.safetensors").is_file()
