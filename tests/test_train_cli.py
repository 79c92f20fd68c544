"""``grounding train`` on a handful of videos: too few to learn from, but it runs, resumes, and answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from grounding_core.cli import main
from grounding_core.plugins import registry


@pytest.mark.slow
def test_trains_goes_on_and_its_checkpoint_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> None:
        monkeypatch.setattr(sys, "argv", ["grounding", *args])
        main_code = 0
        try:
            main()
        except SystemExit as stop:
            main_code = int(stop.code or 0)
        assert main_code == 0, args

    sprites = registry().load("dataset", "sprites")()
    sprites.prepare(tmp_path / "data", split="train", videos=4)
    sprites.prepare(tmp_path / "data", split="val", videos=1)
    data = ["--data", "sprites", "--validation", "sprites", "--data-root", "data", "--out", "run"]
    small = [
        "--set",
        "training.stages=[]",
        "--set",
        "training.videos=2",
        "--set",
        "training.workers=0",
        "--set",
        "training.queries=3",
    ]
    run("train", "videoglamm-tiny", *data, *small, "--set", "training.steps=2")
    run("train", "videoglamm-tiny", *data, *small, "--set", "training.steps=3")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "total" in row] == [1, 2, 3]
    assert list((tmp_path / "run" / "pictures").glob("*.png"))
    clip = next((tmp_path / "data" / "vidstg" / "video" / "val").glob("*.mp4"))
    weights = [
        "checkpoint=run/checkpoint",
        "language_model.tokenizer=run/checkpoint",
        "generation.max_new_tokens=8",
    ]
    run(
        "ground",
        str(clip),
        "the cat",
        "--out",
        "answer",
        *(word for item in weights for word in ("--set", item)),
    )
    assert (tmp_path / "answer" / "answer.json").is_file()
