"""Fixtures of the benchmarks' tests."""

from pathlib import Path

import pytest
from harness import Harness
from official_layouts import write_official


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root that tests must not change."""
    return write_official(tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """What the official evaluators printed."""
    return shared / "golden" / "metrics"


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)
