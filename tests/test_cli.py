"""The ``grounding`` command: what it prints, and how it fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from grounding_core import __version__
from grounding_core.cli import main


class Ran:
    """What one run of the command printed and returned."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command in this process, through the function that the installed script calls."""

    def run(*args: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["grounding", *map(str, args)])
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        else:
            code = 0
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


def test_help_names_every_command(run) -> None:
    ran = run("--help")
    assert ran.code == 0
    for command in ("ground", "chat", "plugins", "check", "train", "bench", "data"):
        assert f" {command} " in ran.out


def test_version(run) -> None:
    assert run("--version").out.strip().endswith(__version__)


def test_plugins_lists_this_distribution(run) -> None:
    report = json.loads(run("plugins", "--json").out)
    assert "grounding-core" in {plugin["distribution"] for plugin in report["plugins"]}
    assert report["failures"] == []
    ran = run("plugins")
    assert ran.code == 0
    assert f"grounding-core {__version__}" in ran.out


def test_usage_error_is_2(run) -> None:
    assert run("ground").code == 2
    assert run("nothing").code == 2
    assert run("data", "prepare", "sprites", "--out", "x", "--videos", "0").code == 2
    wrong_task = run("bench", "--tasks", "nothing")
    assert wrong_task.code == 2
    assert "no task 'nothing'" in wrong_task.err


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("check", "nothing-like-it"), "no recipe 'nothing-like-it'"),
        (("check", "absent.yaml"), "the file does not exist"),
        (("ground", "absent.mp4", "the cat"), "absent.mp4"),
        (("ground", "absent.mp4", ""), "question is empty"),
        (("ground", "absent.mp4", "the cat", "--kind", "guess"), "kind 'guess' is unknown"),
        (("data", "prepare", "nothing", "--out", "x"), "no dataset 'nothing'"),
        (("data", "prepare", "mevis", "--out", "x"), "there is nothing to prepare"),
        (("data", "prepare", "sprites", "--split", "no", "--out", "x"), "no split 'no'"),
        (("train", "nothing-like-it", "--data", "x", "--out", "y"), "no recipe 'nothing-like-it'"),
    ],
)
def test_error_is_one_line_and_1(
    run, args: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*args)
    assert ran.code == 1
    assert expected in ran.err
    (line,) = ran.err.strip().splitlines()
    assert line.startswith("grounding: ")
    assert list(tmp_path.iterdir()) == []


def test_check_lists_every_problem_with_its_path(run, tmp_path: Path) -> None:
    recipe = tmp_path / "wrong.yaml"
    recipe.write_text("name: wrong\nmask_decoder: {type: nothing}\n")
    ran = run("check", recipe)
    assert ran.code == 1
    paths = {line.partition(":")[0] for line in ran.out.splitlines()}
    assert {"mask_decoder.type", "language_model", "seg", "prompts"} <= paths
    assert "problems" in ran.err


def test_wrong_media_are_named(run, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "nothing.mp4").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name in ("text.mp4", "nothing.mp4", "folder"):
        ran = run("ground", tmp_path / name, "the cat", "--out", tmp_path / "out")
        assert ran.code == 1
        assert name in ran.err
        assert len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_bug_shows_its_traceback(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grounding_core.plugins.registry", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("plugins")


def test_ctrl_c_is_130(run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("grounding_core.plugins.registry", interrupt)
    assert run("plugins").code == 130
