"""Data sets, tasks, metrics and text similarities from a distribution that pip installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness import Harness, comparable

PLUGIN = Path(__file__).with_name("example_plugin")


def install(harness: Harness) -> Path:
    """With pip, into a folder of its own, from a copy: building leaves files behind."""
    source = shutil.copytree(PLUGIN, harness.folder / "source")
    target = harness.folder / "installed"
    options = "--quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation --target"
    command = [sys.executable, "-m", "pip", "install", *options.split(), str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def test_everything_a_plugin_brings_is_scored(harness: Harness) -> None:
    out = harness.folder / "out"
    given = ("--recipe", harness.recipe, "--data-root", harness.folder, "--out", out)
    given = (*given, "--tasks", "refseg,gcg,count", "--datasets", "blocks")
    missing = harness.run(*given)
    assert missing.returncode == 2 and "no task 'count'" in missing.stderr
    path = os.pathsep.join([str(install(harness)), harness.environment["PYTHONPATH"]])
    ran = harness.run(*given, "--text-similarity", "first-letter", PYTHONPATH=path)
    assert ran.returncode == 0, ran.stderr
    results = {result["task"]: result for result in comparable(out)["results"]}
    assert {result["dataset"] for result in results.values()} == {"blocks"}
    values = {task: result["predictors"]["model"]["values"] for task, result in results.items()}
    assert values["count"]["right"]["value"] == 1.0
    assert values["refseg"]["centre"]["value"] == 0.0
    boxes = results["refseg"]["predictors"]["centre box"]["values"]
    assert boxes["centre"]["value"] > 3.0
    assert results["refseg"]["protocol"]["metric centre-distance"] == "grounding-blocks 1.2"
    assert "first-letter" in results["gcg"]["protocol"]["text similarity"]
    assert "centre px" in (out / "report.md").read_text()
    assert {group["value"] for group in results["count"]["breakdown"]["place"]} == {"0", "1"}
