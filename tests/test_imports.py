"""What must load without torch: the package, the command line, plugin entries, and scoring."""

from __future__ import annotations

import importlib.metadata
import pkgutil
import subprocess
import sys
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


def test_help_loads_nothing_slow(repository: Path) -> None:
    code = (
        "import runpy, sys; sys.argv[1:] = ['--help']\n"
        "try: runpy.run_module('grounding_core.cli', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print('loaded', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "loaded" in loaded and "Usage" in done.stdout
    assert not {"torch", "transformers", "numpy", "PIL", "av", "decord", "pycocotools", "gradio"} & loaded
