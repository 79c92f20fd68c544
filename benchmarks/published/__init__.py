"""What papers report and how they measured it: facts for the report, kept in YAML files beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class ReferenceRow:
    """A number that a paper reports, on a scale of 0 to 100 where the measure is a percentage.

    Attributes:
        system: as the paper calls it.
        measure: key of the task's measure that is comparable.
        value: as printed.
        source: the paper.
        note: what sets the number apart.
    """

    system: str
    measure: str
    value: float
    source: str
    note: str = ""


def reference_rows(task: str, dataset: str, split: str) -> list[ReferenceRow]:
    """Published numbers on exactly this split, the best first."""
    rows = [
        ReferenceRow(
            system["system"], row["measure"], float(row["value"]), system["source"], row.get("note", "")
        )
        for system in _read("reference_rows")
        for row in system["rows"]
        if (row["task"], row["data"]) == (task, f"{dataset}:{split}")
    ]
    return sorted(rows, key=lambda row: (row.measure, -row.value))


def protocol_facts(task: str, dataset: str, split: str) -> dict[str, str]:
    """Facts about how numbers on a split are made, which must travel with them."""
    facts = _read("protocols")
    found = dict(facts["tasks"].get(task, {}))
    found |= facts["datasets"].get(dataset, {})
    found |= facts["datasets"].get(f"{dataset}:{split}", {})
    return found


@cache
def _read(name: str) -> Any:
    path = Path(__file__).with_name(f"{name}.yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))
