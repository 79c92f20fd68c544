"""Options and fixtures shared by all tests of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch is imported: on tensors as small as these, threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--slow``."""
    parser.addoption("--slow", action="store_true", help="run tests marked slow as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is slow unless it is asked for."""
    if config.getoption("--slow"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow; run with --slow"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Clips and golden numbers kept beside the checkout; not part of the product."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}, which is kept outside the repository")
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated video, as mp4."""
    from grounding_core.plugins import registry

    root = tmp_path_factory.mktemp("clip")
    registry().load("dataset", "sprites")().prepare(root, split="val", videos=1)
    return root / "vidstg/video/val/val_00000.mp4"
