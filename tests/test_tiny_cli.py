"""The command line with the model that ships: answers, files, conversation, and awkward input."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grounding_core.cli import main
from grounding_core.model import GroundingModel
from grounding_core.serial import from_json


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    monkeypatch.chdir(tmp_path)

    def run(*args: str | Path, stdin: str | bytes = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["grounding", *map(str, args)])
        typed = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed), "utf-8"))
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_ground_prints_and_writes(run, clip: Path, tmp_path: Path) -> None:
    code, out, _ = run("ground", clip, "What moves left?", "--out", "answer")
    assert code == 0
    answer = from_json(json.loads((tmp_path / "answer" / "answer.json").read_text()))
    # A terminal breaks lines.
    shown = " ".join(re.sub(r" ?\[\d+\]", "", out).split())
    assert " ".join(answer.text.split()) in shown
    assert len(answer.tracks) >= 1
    for track in answer.tracks:
        assert f"[{track.id}] visible in {len(track.visible())} of {len(track)} frames" in out
        assert len(list((tmp_path / "answer" / "masks" / str(track.id)).glob("*.png"))) == len(track)
    assert (tmp_path / "answer" / "overlay.mp4").stat().st_size > 0
    assert (tmp_path / "answer" / "sheet.png").stat().st_size > 0


def test_json_is_the_answer_and_nothing_else(run, clip: Path, tmp_path: Path) -> None:
    code, out, _ = run("ground", clip, "--json")
    assert code == 0
    written = (tmp_path / "runs" / "ground" / clip.stem / "answer.json").read_text()
    assert json.loads(out) == json.loads(written)


@pytest.mark.parametrize("size", [(4, 4), (1, 7), (240, 320)])
def test_one_frame_of_any_size(run, tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "frame.png")
    code, _, err = run("ground", tmp_path / "frame.png", "the cat", "--out", tmp_path / "answer")
    assert code == 0, err
    record = json.loads((tmp_path / "answer" / "answer.json").read_text())
    assert record["video"]["size"] == list(size)


def test_question_beyond_the_context(run, clip: Path, tmp_path: Path) -> None:
    code, _, err = run("ground", clip, "the red cat " * 1000, "--out", tmp_path / "answer")
    assert code == 1
    assert "too long" in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "answer").exists()


@pytest.mark.parametrize("out", ["mine", "mine/notes.txt/answer"])
def test_a_folder_in_use_is_refused_before_loading(
    run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr("grounding_core.load", load)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    code, _, err = run("ground", clip, "the cat", "--out", out)
    assert code == 1 and "notes.txt" in err


def test_chat_encodes_once_and_survives_bad_questions(
    run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, histories = [], []
    encode, ground = GroundingModel.encode, GroundingModel.ground

    def counting(model: GroundingModel, video):  # type: ignore[no-untyped-def]
        encoded.append(video)
        return encode(model, video)

    def listening(model: GroundingModel, context, queries, *, history=(), told=None):  # type: ignore[no-untyped-def]
        histories.append(len(history))
        return ground(model, context, queries, history=history, told=told)

    monkeypatch.setattr(GroundingModel, "encode", counting)
    monkeypatch.setattr(GroundingModel, "ground", listening)
    questions = [
        "What moves left?",
        "",
        "/nonsense",
        "the red cat " * 1000,
        "the cat",
        "/new",
        "/describe",
        "/quit",
        "x",
    ]
    taught = "prompts.turn='<|end|><|assistant|>{answer}<|end|><|user|>'"
    asked = "\n".join(questions) + "\n"
    code, out, err = run("chat", clip, "--out", tmp_path / "answers", "--set", taught, stdin=asked)
    assert code == 0
    assert len(encoded) == 1
    assert histories == [0, 1, 1, 0]  # the question that was too long left no trace
    assert "no command /nonsense" in err
    assert "too long" in err
    assert sorted(path.name for path in (tmp_path / "answers").iterdir()) == ["001", "002", "003"]
    assert len(out.strip().splitlines()) >= 3


def test_a_second_chat_keeps_the_answers_of_the_first(run, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "answers" / "007").mkdir(parents=True)
    (tmp_path / "answers" / "notes").touch()
    code, _, err = run("chat", clip, "--out", tmp_path / "answers", stdin=b"caf\xe9\nthe cat\n")
    assert code == 0
    assert "not text in UTF-8" in err
    assert sorted(path.name for path in (tmp_path / "answers").iterdir()) == ["007", "008", "notes"]
    code, _, err = run("chat", clip, "--out", tmp_path / "answers" / "notes", stdin="the cat\n")
    assert code == 1 and "notes" in err


def test_weights_that_do_not_fit(run, clip: Path) -> None:
    code, _, err = run("ground", clip, "the cat", "--set", "prompt_adapter=null")
    assert code == 1
    assert "prompt_adapter" in err
    code, _, err = run("ground", clip, "the cat", "--set", "checkpoint=./nowhere")
    assert code == 1
    assert "nowhere" in err


def test_a_device_can_be_chosen(run, clip: Path, tmp_path: Path) -> None:
    code, _, err = run("ground", clip, "the cat", "--device", "nowhere")
    assert code == 1
    assert "device nowhere" in err and "grounding doctor" in err
    code, out, _ = run("ground", clip, "the cat", "--device", "cpu", "--out", "answer")
    assert code == 0
    assert "cat" in out
