"""Curves of training runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from benchmarks.curves import app, logs, read, smooth
from grounding_core.errors import DataError


def _log(folder: Path, *rows: dict[str, object]) -> None:
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_stages_are_drawn_in_their_order(tmp_path: Path) -> None:
    for number, name in ((10, "last"), (2, "second"), (1, "first")):
        losses = [{"step": step, "lr": 1e-3, "text": 3.0 / step, "total": 3.0 / step} for step in (1, 2, 3)]
        _log(tmp_path / f"{number}-{name}", *losses, {"step": 3, "validation": {"mean of headlines": 0.5}})
    assert [log.parent.name for log in logs(tmp_path)] == ["1-first", "2-second", "10-last"]
    done = CliRunner().invoke(app, [str(tmp_path), "--out", str(tmp_path / "curves.png")])
    assert done.exit_code == 0, done.output
    picture = Image.open(tmp_path / "curves.png")
    assert picture.width > 900 and len(picture.convert("RGB").getcolors(1 << 20) or []) > 20


def test_a_step_that_was_repeated_counts_once(tmp_path: Path) -> None:
    _log(tmp_path / "run", {"step": 1, "text": 2.0}, {"step": 2, "text": 9.0}, {"step": 2, "text": 1.0})
    assert [row["text"] for row in read(tmp_path / "run" / "metrics.jsonl")] == [2.0, 1.0]


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [str(tmp_path), "--out", str(tmp_path / "x.png")])
    assert done.exit_code == 2 and "metrics.jsonl" in done.output
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st\n')
    with pytest.raises(DataError, match=r"line 2"):
        read(tmp_path / "metrics.jsonl")


def test_a_picture_that_cannot_be_written_ends_in_one_line(tmp_path: Path) -> None:
    run = tmp_path / "run"
    _log(run, {"step": 1, "text": 2.0}, {"step": 1, "validation": {}})
    (tmp_path / "file").write_text("")
    for out, problem in (("c.txt", "ends in .png"), ("curves", "ends in .png"), ("file/c.png", "can't be")):
        done = CliRunner().invoke(app, [str(run), "--out", str(tmp_path / out)])
        assert done.exit_code == 2 and problem in " ".join(done.output.split())


def test_a_validation_of_nothing_is_not_drawn(tmp_path: Path) -> None:
    judged = ({}, {"refseg jf": 0.5}, {"gcg miou": 0.5})
    rows = ({"step": step, "validation": found} for step, found in enumerate(judged))
    _log(tmp_path / "run", {"step": 1, "text": 2.0}, *rows)
    done = CliRunner().invoke(app, [str(tmp_path / "run"), "--out", str(tmp_path / "c.png")])
    assert done.exit_code == 0, done.output


def test_smoothing_keeps_a_constant() -> None:
    assert smooth([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])
