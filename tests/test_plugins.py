"""Discovery: what plugins offer, and what happens when one of them is wrong."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grounding_core.errors import PluginError
from grounding_core.hookspecs import GROUP, INTERFACE
from grounding_core.plugins import Registry, registry

PYPROJECT = """
[project]
name = "{name}"
version = "{version}"

[project.entry-points.grounding_core]
{point} = "{module}"

[tool.setuptools]
py-modules = ["{module}"]
"""

GOOD = """
from grounding_core.hookspecs import Entry, hookimpl

@hookimpl
def grounding_entries():
    return [
        Entry("metric", "answer", "{module}:answer", summary="always 42"),
        Entry("metric", "needs-more", "{module}:absent.part", hint="pip install more"),
        Entry("recipe", "lost", "{module}:recipes/lost.yaml"),
    ]

def answer():
    return 42
"""


def point(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, source: str, name: str = "demo", version: str = "1.0"
):
    """An entry point of a distribution laid out in ``folder`` as an installer would."""
    module = f"{name.replace('-', '_')}_entry"
    (folder / f"{module}.py").write_text(source.replace("{module}", module))
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {module}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, module, raising=False)
    (found,) = importlib.metadata.Distribution.at(info).entry_points
    return found


def test_loads_what_an_entry_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Registry([point(tmp_path, monkeypatch, source=GOOD)])
    assert found.failures == []
    assert found.load("metric", "answer")() == 42
    offer = found.find("metric", "answer")
    assert (offer.distribution, offer.version, offer.entry.summary) == ("demo", "1.0", "always 42")
    assert [offer.entry.name for offer in found.entries()] == ["answer", "needs-more", "lost"]


def test_target_that_is_missing_names_owner_and_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Registry([point(tmp_path, monkeypatch, source=GOOD)])
    with pytest.raises(PluginError, match=r"metric 'needs-more' of demo 1\.0 .*Try: pip install more"):
        found.load("metric", "needs-more")


def test_file_that_is_not_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Registry([point(tmp_path, monkeypatch, source=GOOD)])
    with pytest.raises(PluginError, match=r"recipe 'lost' of demo 1\.0 can't be loaded"):
        found.path("recipe", "lost")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        ("", "no @hookimpl function grounding_entries"),
        (GOOD.replace("grounding_entries", "grounding_entires"), "unknown hook 'grounding_entires'"),
        (GOOD.replace('"metric"', '"metrics"'), "unknown kind 'metrics'"),
        (GOOD.replace("{module}:answer", "{module}"), "needs a name and a target"),
        (GOOD.replace("return [", "return ['x',"), "must return Entry objects, got str"),
        (GOOD.replace("return [", "return 1 / 0, ["), "ZeroDivisionError"),
        ("INTERFACE = 99\n" + GOOD, "built for interface version 99, and this grounding-core has 1"),
    ],
)
def test_broken_plugin_is_recorded_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, expected: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    bad = point(tmp_path / "a", monkeypatch, source=source, name="bad", version="0.3")
    good = point(tmp_path / "b", monkeypatch, source=GOOD, name="good")
    found = Registry([bad, good])
    (failure,) = found.failures
    assert (failure.distribution, failure.version) == ("bad", "0.3")
    assert expected in failure.error
    assert "\n" not in failure.error
    assert found.load("metric", "answer")() == 42


def test_unknown_name_says_what_is_near_installed_and_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    bad = point(tmp_path / "a", monkeypatch, source="import nowhere_to_be_found", name="bad")
    good = point(tmp_path / "b", monkeypatch, source=GOOD, name="good")
    found = Registry([bad, good])
    with pytest.raises(PluginError) as caught:
        found.load("metric", "anser")
    message = str(caught.value)
    assert "no metric 'anser'" in message
    assert "Did you mean 'answer'?" in message
    assert "Installed: answer, needs-more." in message
    assert "bad 1.0 (ModuleNotFoundError" in message
    with pytest.raises(PluginError, match="There is a metric of that name"):
        found.load("task", "answer")


def test_collision_names_both_owners_when_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = point(tmp_path / "a", monkeypatch, source=GOOD, name="one", version="1.1")
    two = point(tmp_path / "b", monkeypatch, source=GOOD, name="two", version="2.2")
    found = Registry([one, two])
    assert {group[0].entry.name for group in found.collisions()} == {"answer", "needs-more", "lost"}
    with pytest.raises(PluginError, match=r"'answer' is claimed by one 1\.1 and two 2\.2"):
        found.load("metric", "answer")


def test_a_plugin_for_this_interface_or_an_older_one_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Registry([point(tmp_path, monkeypatch, source=f"INTERFACE = {INTERFACE}\n" + GOOD)])
    assert found.failures == []


COMMAND = """
from grounding_core.hookspecs import Entry, hookimpl

@hookimpl
def grounding_entries():
    return [
        Entry("command", "greet", "{module}_app:app", summary="say hello"),
        Entry("command", "check", "{module}_app:app", summary="in the way of a built-in one"),
    ]
"""
GREET = """
import typer

app = typer.Typer()

@app.command()
def greet(name: str, loud: bool = typer.Option(False, help="Shout.")):
    print(f"hello {name.upper() if loud else name}")
"""


def test_a_plugin_brings_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from grounding_core import plugins
    from grounding_core.cli import app

    found = Registry([point(tmp_path, monkeypatch, source=COMMAND, name="polite")])
    (tmp_path / "polite_entry_app.py").write_text(GREET)
    monkeypatch.setattr(plugins, "registry", lambda: found)
    run = CliRunner().invoke
    help_ = run(app, ["--help"], env={"COLUMNS": "100"}).output
    assert "greet" in help_ and "say hello" in help_ and "in the way" not in help_
    assert "polite_entry_app" not in sys.modules
    assert run(app, ["greet", "you", "--loud"]).output == "hello YOU\n"
    assert "Shout" in run(app, ["greet", "--help"]).output
    listed = json.loads(run(app, ["plugins", "--json"]).output)
    assert listed["collisions"] == [
        {"kind": "command", "name": "check", "owners": ["grounding-core (built in)", "polite 1.0"]}
    ]


def test_everything_installed_here_loads() -> None:
    found = registry()
    assert found.failures == []
    assert found.collisions() == []
    for entry, _, _ in found.entries():
        if entry.kind == "recipe":
            assert found.path("recipe", entry.name).suffix == ".yaml"
        else:
            assert callable(found.load(entry.kind, entry.name))


def test_third_party_distribution_appears_without_a_change_here(tmp_path: Path) -> None:
    """Built and installed by pip, seen by the command line of a fresh interpreter."""
    project, target = tmp_path / "project", tmp_path / "site"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        PYPROJECT.format(
            name="grounding-whatever", version="3.1.4", point="whatever", module="whatever_entry"
        )
    )
    (project / "whatever_entry.py").write_text(GOOD.replace("{module}", "whatever_entry"))
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"]
    built = subprocess.run(
        [*install, "--disable-pip-version-check", "--target", str(target), str(project)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "grounding_core.cli", "plugins", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(target), *sys.path])},
    )
    report = json.loads(shown.stdout)
    (mine,) = [plugin for plugin in report["plugins"] if plugin["distribution"] == "grounding-whatever"]
    assert mine["version"] == "3.1.4"
    assert {entry["name"] for entry in mine["entries"]} == {"answer", "needs-more", "lost"}
