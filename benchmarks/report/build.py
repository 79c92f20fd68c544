"""The report as one JSON object, from which every other form is made."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.published import protocol_facts, reference_rows
from benchmarks.scores import MODEL, PredictorScores, UnitScores
from benchmarks.stats import Measure, estimate

FORMAT = 1
EXAMPLES = 3
FAILURES_SHOWN = 20
MAX_GROUPS = 12
"""A tag with more values names single things rather than kinds of them."""


def build(
    model: str,
    fingerprint: Mapping[str, str],
    platform: Mapping[str, str],
    scores: Sequence[UnitScores],
    profile: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole report. Everything but ``timing`` and ``profile`` is the same for the same predictions.

    Args:
        model: name of what was scored.
        fingerprint: what shaped its predictions.
        platform: versions that shaped the scores.
        scores: one entry a task and data set.
        profile: time and memory by stage, where the run was profiled.
    """
    return {
        "format": FORMAT,
        "model": model,
        "fingerprint": dict(fingerprint),
        "platform": dict(platform),
        "results": [_unit(unit) for unit in scores],
        "timing": {
            unit.unit.label: {
                name: {"seconds": round(found.seconds, 3), "samples": len(unit.unit.samples)}
                for name, found in unit.predictors.items()
            }
            for unit in scores
        },
        **({"profile": dict(profile)} if profile else {}),
    }


def _unit(scores: UnitScores) -> dict[str, Any]:
    unit, task = scores.unit, scores.task
    model = scores.predictors[MODEL]
    measures = [measure for measure in task.all_measures if measure.key in model.counts]
    videos = [sample.drawn_as for sample in unit.samples]
    return {
        "task": unit.task,
        "title": task.title,
        "dataset": unit.dataset,
        "split": unit.split,
        "data": unit.data,
        "licence": unit.licence,
        "n": len(unit.samples),
        "total": len(unit.whole),
        "videos": len(set(videos)),
        "headline": task.headline,
        "measures": [_described(measure) for measure in measures],
        "predictors": {
            name: {
                "errors": len(found.errors),
                "values": {m.key: _value(found, m, videos) for m in measures if m.key in found.counts},
            }
            for name, found in scores.predictors.items()
        },
        "breakdown": _breakdown(scores, measures, videos),
        "examples": _examples(scores),
        "failures": [
            {"id": id, "error": error} for id, error in sorted(model.errors.items())[:FAILURES_SHOWN]
        ],
        "references": [
            asdict(row)
            for row in reference_rows(unit.task, unit.dataset, unit.split)
            if row.measure in {measure.key for measure in measures}
        ],
        "protocol": {**protocol_facts(unit.task, unit.dataset, unit.split), **task.protocol},
        "notes": task.notes,
    }


def _described(measure: Measure) -> dict[str, Any]:
    return {
        "key": measure.key,
        "label": measure.label,
        "help": measure.help,
        "percent": measure.percent,
        "brief": measure.brief,
    }


def _value(found: PredictorScores, measure: Measure, videos: Sequence[str]) -> dict[str, float | None]:
    result = estimate(found.counts[measure.key], videos, measure.finish)
    return {"value": _finite(result.value), "low": _finite(result.low), "high": _finite(result.high)}


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def _breakdown(
    scores: UnitScores, measures: Sequence[Measure], videos: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """The model's values by each tag that has more than one value."""
    model = scores.predictors[MODEL]
    tags = sorted({tag for facts in scores.facts.values() for tag in facts})
    found: dict[str, list[dict[str, Any]]] = {}
    for tag in tags:
        groups: dict[str, list[int]] = {}
        for index, sample in enumerate(scores.unit.samples):
            groups.setdefault(scores.facts[sample.id].get(tag, "not told"), []).append(index)
        if not 2 <= len(groups) <= MAX_GROUPS:
            continue
        found[tag] = [
            {
                "value": value,
                "n": len(rows),
                "values": {
                    m.key: _group(model.counts[m.key][rows], m, [videos[row] for row in rows])
                    for m in measures
                },
            }
            for value, rows in sorted(groups.items())
        ]
    return found


def _group(
    counts: npt.NDArray[np.float64], measure: Measure, videos: Sequence[str]
) -> dict[str, float | None]:
    result = estimate(counts, videos, measure.finish)
    return {"value": _finite(result.value), "low": _finite(result.low), "high": _finite(result.high)}


def headline_values(scores: UnitScores) -> npt.NDArray[np.float64]:
    """The model's headline measure of each sample (n,)."""
    measure = next(m for m in scores.task.measures if m.key == scores.task.headline)
    return np.nan_to_num(measure.finish(scores.predictors[MODEL].counts[measure.key]), nan=0.0)


def _examples(scores: UnitScores) -> dict[str, list[dict[str, Any]]]:
    """Best, worst and random samples; none twice, and of different videos as far as there are any."""
    values = headline_values(scores)
    ids = [sample.id for sample in scores.unit.samples]
    ranked = sorted(range(len(ids)), key=lambda index: (-values[index], ids[index]))
    videos = [sample.video_id for sample in scores.unit.samples]
    best = _first(ranked, videos, ())
    worst = _first(ranked[::-1], videos, best)
    # Drawn by hash rather than by a seed, so that a longer run keeps what a shorter one showed.
    drawn = sorted(range(len(ids)), key=lambda index: hashlib.sha256(ids[index].encode()).digest())
    others = _first(drawn, videos, (*best, *worst))
    return {
        kind: [{"id": ids[index], "value": float(values[index])} for index in chosen]
        for kind, chosen in (("best", best), ("worst", worst), ("random", others))
    }


def _first(order: Sequence[int], videos: Sequence[str], used: Sequence[int]) -> list[int]:
    """The first few indices that are not used, in their order; other videos before more of the same."""
    free = [index for index in order if index not in used]
    seen: set[str] = set()
    new: list[int] = []
    more: list[int] = []
    for index in free:
        (more if videos[index] in seen else new).append(index)
        seen.add(videos[index])
    chosen = {*[*new, *more][:EXAMPLES]}
    return [index for index in order if index in chosen]
