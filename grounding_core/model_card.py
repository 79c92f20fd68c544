"""README.md of a model on the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import yaml

from grounding_core.config import Recipe
from grounding_core.errors import GroundingError


def model_card(
    recipe: Recipe, *, licence: str = "", datasets: Sequence[str] = (), report: str | Path | None = None
) -> str:
    """``model_card.md.txt`` filled in: facts for the hub's search, how to use it, what is left to say.

    Args:
        recipe: of the model.
        licence: as the hub calls it; empty: the card asks for it.
        datasets: as the hub calls them.
        report: a ``report.json`` of the benchmarks.

    Raises:
        GroundingError: the report can't be read.
    """
    scores = [] if report is None else _scores(Path(report))
    head: dict[str, Any] = {
        "library_name": "grounding-core",
        "pipeline_tag": "video-text-to-text",
        "tags": ["grounding", "video-segmentation", "referring-segmentation"],
    }
    if licence:
        head["license"] = licence
    if datasets:
        head["datasets"] = list(datasets)
    if scores:
        head["model-index"] = [{"name": recipe.name, "results": [_result(row) for row in scores]}]
    parts = {"model": recipe.model} if recipe.model is not None else recipe.parts()
    rows = [f"| {row['data']} | {row['measure']} | {row['value']:.1f} | {row['n']} |" for row in scores]
    numbers = "\n".join(["| data | measure | value | n |", "| --- | --- | ---: | ---: |", *rows])
    template = files("grounding_core").joinpath("model_card.md.txt").read_text(encoding="utf-8")
    return Template(template).substitute(
        head=yaml.safe_dump(head, sort_keys=False).strip(),
        name=recipe.name,
        description=recipe.description or "<!-- What it is, in one sentence. -->",
        repo=f"YOUR-NAME/{re.sub(r'[^A-Za-z0-9._-]', '-', recipe.name)}",
        parts="\n".join(f"| {role.replace('_', ' ')} | `{part.type}` |" for role, part in parts.items()),
        scores=numbers if scores else "<!-- Score it, and save it with the run's report.json. -->",
        data=f"Trained on {', '.join(datasets)}." if datasets else "<!-- What it was trained on. -->",
        licence=f"Weights: {licence}." if licence else "<!-- The licence of the weights. -->",
    )


def _scores(path: Path) -> list[Mapping[str, Any]]:
    """Headline of each task and data set of a report: data, task, measure, value in per cent, n."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        found: list[Mapping[str, Any]] = []
        for result in report["results"]:
            head = next(m for m in result["measures"] if m["key"] == result["headline"])
            value = result["predictors"]["model"]["values"][head["key"]]["value"]
            if value is not None:
                shown = 100 * value if head["percent"] else value
                data = f"{result['dataset']}:{result['split']}"
                found.append(
                    {"data": data, "split": result["split"], "set": result["dataset"], "task": result["task"]}
                    | {"measure": head["label"], "value": shown, "n": result["n"]}
                )
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise GroundingError(
            f"{path} is no report: {type(error).__name__}: {error}.", "Name a run's report.json."
        ) from error
    return found


def _result(row: Mapping[str, Any]) -> dict[str, Any]:
    """One entry of the hub's model-index."""
    return {
        "task": {"type": "video-text-to-text", "name": row["task"]},
        "dataset": {"type": row["set"], "name": row["data"], "split": row["split"]},
        "metrics": [{"type": row["measure"], "value": round(row["value"], 2)}],
    }
