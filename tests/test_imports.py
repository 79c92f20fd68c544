"""What must load without torch: the package, the command line, plugin entries, and scoring."""

from __future__ import annotations

import importlib.metadata
import pkgutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import benchmarks.metrics
import grounding_core
from grounding_core.hookspecs import GROUP

LIGHT = [
    "grounding_core",
    "grounding_core.cli",
    "grounding_core.compose",
    "grounding_core.config",
    "grounding_core.interfaces.dataset",
    "grounding_core.video",
    "benchmarks.run",
    *(f"benchmarks.metrics.{module.name}" for module in pkgutil.iter_modules(benchmarks.metrics.__path__)),
    *sorted(point.module for point in importlib.metadata.entry_points(group=GROUP)),
]


@pytest.mark.parametrize("module", LIGHT)
def test_loads_no_torch(module: str, repository: Path) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr or f"{module} imports torch or transformers"


def test_every_public_name_exists() -> None:
    for name in grounding_core.__all__:
        assert getattr(grounding_core, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = grounding_core.nothing


def test_version_is_that_of_the_distribution() -> None:
    assert grounding_core.__version__ == importlib.metadata.version("grounding-core")


def test_help_answers_in_under_a_second(repository: Path) -> None:
    command = [sys.executable, "-m", "grounding_core.cli", "--help"]
    seconds = []
    for _ in range(3):  # the first may read a cold disk, and others share the machine
        start = time.perf_counter()
        subprocess.run(command, cwd=repository, capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0
