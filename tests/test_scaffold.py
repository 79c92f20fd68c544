"""``grounding plugin new``: what it writes works at once, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from grounding_core.errors import PluginError
from grounding_core.scaffold import ROLES, write_plugin

NAME = "stranger"


@pytest.mark.parametrize("role", ROLES)
def test_every_role_is_written(tmp_path: Path, role: str) -> None:
    folder = write_plugin("my_part", role, tmp_path / "new")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    package = "grounding_my_part"
    modules = {f"{package}/{name}.py" for name in ("__init__", "plugin", "component")}
    assert files == {"pyproject.toml", "README.md", "tests/test_my_part.py", *modules}
    for path in folder.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
    assert "$" not in "".join((folder / file).read_text() for file in files)


@pytest.mark.parametrize(
    ("name", "role", "words"),
    [
        ("part", "decoder", "no role 'decoder'"),
        ("My-Part", "mask_decoder", "can't name"),
        ("part", "mask_decoder", "exists already"),
    ],
)
def test_what_can_not_be_written(tmp_path: Path, name: str, role: str, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        write_plugin(name, role, tmp_path)
    assert not list(tmp_path.iterdir())


class Stranger:
    """A fresh virtual environment that sees what is installed here, and runs commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        places = {sysconfig.get_path(key) for key in ("purelib", "platlib")}
        (site,) = (folder / "venv").glob("lib/python*/site-packages")
        # Editable installs are found through hooks that only run in site folders: add them as such.
        lines = [f"import site; site.addsitedir({place!r})" for place in sorted(places)]
        (site / "beside.pth").write_text("\n".join(lines) + "\n")

    def run(self, *arguments: str | Path, fails: bool = False) -> str:
        done = subprocess.run(
            [self.python, *map(str, arguments)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "200", "GROUNDING_CACHE": str(self.folder / "cache")},
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def pip(self, *arguments: str | Path) -> None:
        self.run("-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)

    def grounding(self, *arguments: str, fails: bool = False) -> str:
        return self.run("-m", "grounding_core.cli", *arguments, fails=fails)


@pytest.mark.slow
def test_a_strangers_decoder_is_installed_tested_scored_and_removed(tmp_path: Path) -> None:
    stranger = Stranger(tmp_path)
    stranger.grounding("plugin", "new", NAME, "--role", "mask_decoder")
    project = tmp_path / f"grounding-{NAME}"
    stranger.pip("install", "--no-deps", "--no-build-isolation", "--no-index", project)

    listed = json.loads(stranger.grounding("plugins", "--json"))
    (mine,) = [plugin for plugin in listed["plugins"] if plugin["distribution"] == f"grounding-{NAME}"]
    assert [(entry["kind"], entry["name"]) for entry in mine["entries"]] == [("mask_decoder", NAME)]

    tested = stranger.run("-m", "pytest", "-q", "-p", "no:cacheprovider", project)
    assert "passed" in tested and "failed" not in tested

    swap = ("--set", f"mask_decoder.type={NAME}", "--set", "checkpoint=null")
    shown = stranger.grounding("recipe", "show", "videoglamm-tiny", *swap)
    assert f"grounding-{NAME} 0.1.0" in shown
    quick = ("--set", "generation.max_new_tokens=8", "--tasks", "refseg", "--limit", "2")
    stranger.run("-m", "benchmarks.run", *swap, *quick, "--out", "scores")
    report = json.loads((tmp_path / "scores" / "report.json").read_text())
    (result,) = report["results"]
    assert (result["n"], result["predictors"]["model"]["errors"]) == (2, 0)

    stranger.pip("uninstall", "--yes", f"grounding-{NAME}")
    refused = stranger.grounding("check", "videoglamm-tiny", *swap, fails=True)
    assert f"mask_decoder.type: There is no mask decoder '{NAME}'" in refused
    assert "Installed:" in refused and "Traceback" not in refused
