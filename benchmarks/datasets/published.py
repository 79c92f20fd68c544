"""Counts that data sets' publishers state, from ``published.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from grounding_core.interfaces.dataset import Published


def published(name: str) -> Mapping[str, Published]:
    """Split -> counts of a data set, in the file's order."""
    return {str(split): Published(**counts) for split, counts in _table()[name]["splits"].items()}


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return table
