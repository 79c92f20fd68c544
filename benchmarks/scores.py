"""Score: judge stored predictions against the truth. Reads files only; no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.facts import shape_of
from benchmarks.judging import Findings, Job, Judge, Verdict, available_cores, judge_all
from benchmarks.store import Predictions, PredictionStore
from benchmarks.tasks.base import Task, TextPair
from benchmarks.units import Unit

MODEL = "model"
"""Key of the recipe's own predictions beside the baselines' names."""

POOLED_FROM = 200
"""With fewer samples, starting processes takes longer than they save."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PredictorScores:
    """One predictor on one unit.

    Attributes:
        counts: measure -> (n, d), rows in the order of the unit's samples.
        errors: sample id -> what went wrong; such samples count as misses.
        seconds: spent on predicting, all samples together.
    """

    counts: Mapping[str, FloatArray]
    errors: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class UnitScores:
    """All predictors on one unit; the first is the model.

    ``predictions`` are the model's, read from its file when they are asked for; ``facts`` are by sample id:
    its tags and what its truth tells, for breakdowns; ``truths`` are by sample id: hashes of the truth that
    was scored against.
    """

    unit: Unit
    task: Task
    predictors: Mapping[str, PredictorScores]
    predictions: Predictions = field(repr=False)
    facts: Mapping[str, Mapping[str, str]] = field(repr=False)
    truths: Mapping[str, str] = field(repr=False)


def score_unit(
    unit: Unit,
    task: Task,
    stores: Mapping[str, PredictionStore],
    advance: Callable[[], None],
    workers: int | None = None,
) -> UnitScores:
    """Judge every sample of a unit for every predictor, video by video.

    Memory grows by the counts of a sample only: predictions and truths are read as they are needed.

    Args:
        unit: samples and their truth.
        task: the judge.
        stores: predictor -> its predictions; the model first.
        advance: told after each sample.
        workers: processes; None takes all cores where there are enough samples.

    Raises:
        DataError: truth is missing or malformed, or a predictions file is damaged.
    """
    if workers is None:
        workers = available_cores() if len(unit.samples) >= POOLED_FROM else 1
    truths = _Truths(unit)
    table = {name: _Columns(len(unit.samples)) for name in stores}
    judge = Judge(task, {name: store.path for name, store in stores.items()})
    for job, findings in judge_all(judge, truths.jobs(_places(unit, stores)), workers):
        truths.keep(job, findings)
        for name, verdict in findings.verdicts.items():
            table[name].add(job.rows, verdict)
        for _ in job.rows:
            advance()
    tags = [sample.tags for sample in unit.samples]
    corpus = task.judge_texts({name: found.pairs() for name, found in table.items() if found.texts})
    for name, found in table.items():
        found.counts |= task.combine(tags, found.counts)
        found.counts |= corpus.get(name, {})
    ids = [sample.id for sample in unit.samples]
    return UnitScores(
        unit=unit,
        task=task,
        predictors={
            name: PredictorScores(
                counts=found.counts,
                errors={ids[row]: found.errors[row] for row in sorted(found.errors)},
                seconds=found.seconds,
            )
            for name, found in table.items()
        },
        predictions=stores[MODEL].predictions(),
        facts=truths.facts,
        truths=truths.digests,
    )


def _places(unit: Unit, stores: Mapping[str, PredictionStore]) -> dict[str, npt.NDArray[np.int64]]:
    """For each predictor, where in its file each sample's prediction begins."""
    found = {}
    for name, store in stores.items():
        predictions = store.predictions()
        found[name] = np.array([predictions.place(sample.id) for sample in unit.samples], dtype=np.int64)
    return found


class _Truths:
    """Reads the truth of one video after the other, and keeps only what reports need of it."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self.facts: dict[str, Mapping[str, str]] = {}
        self.digests: dict[str, str] = {}
        self._seen: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def jobs(self, places: Mapping[str, npt.NDArray[np.int64]]) -> Iterator[Job]:
        """One job a video, in the order of their first samples."""
        videos: dict[str, list[int]] = {}
        for row, sample in enumerate(self._unit.samples):
            videos.setdefault(sample.video_id, []).append(row)
        for rows in videos.values():
            samples = [self._unit.samples[row] for row in rows]
            truths = [sample.load_truth() for sample in samples]
            yield Job(
                rows=rows,
                ids=[sample.id for sample in samples],
                tags=[sample.tags for sample in samples],
                truths=truths,
                shapes=[shape_of(sample, truth) for sample, truth in zip(samples, truths, strict=True)],
                places={name: found[rows].tolist() for name, found in places.items()},
            )

    def keep(self, job: Job, findings: Findings) -> None:
        """What was found of the truths of a job."""
        for id, facts, digest in zip(job.ids, findings.facts, findings.digests, strict=True):
            # Many samples have the same facts.
            self.facts[id] = self._seen.setdefault(tuple(sorted(facts.items())), facts)
            self.digests[id] = digest


class _Columns:
    """One predictor's counts as arrays, filled row by row."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.counts: dict[str, FloatArray] = {}
        self.errors: dict[int, str] = {}
        self.texts: dict[int, TextPair] = {}
        self.seconds = 0.0

    def add(self, rows: Sequence[int], verdict: Verdict) -> None:
        """Take over what was found about some samples."""
        for row, counts in zip(rows, verdict.counts, strict=True):
            for key, values in counts.items():
                if key not in self.counts:
                    self.counts[key] = np.zeros((self._rows, len(values)))
                self.counts[key][row] = values
        self.errors |= verdict.errors
        self.texts |= verdict.texts
        self.seconds += verdict.seconds

    def pairs(self) -> list[TextPair]:
        """Candidates and references in the order of the samples."""
        return [self.texts[row] for row in sorted(self.texts)]
