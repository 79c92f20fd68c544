"""Score: judge stored predictions against the truth. Reads files only; no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.facts import digest_of, facts_of
from benchmarks.store import Prediction, PredictionStore
from benchmarks.tasks.base import Counts, Task, TextPair
from benchmarks.units import Unit
from grounding_core.errors import DataError, GroundingError
from grounding_core.types import GroundedText

MODEL = "model"
"""Key of the recipe's own predictions beside the baselines' names."""

NOT_PREDICTED = "not predicted yet"


@dataclass(frozen=True)
class PredictorScores:
    """One predictor on one unit.

    Attributes:
        counts: measure -> (n, d), rows in the order of the unit's samples.
        errors: sample id -> what went wrong; such samples count as misses.
        seconds: spent on predicting, all samples together.
    """

    counts: Mapping[str, npt.NDArray[np.float64]]
    errors: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class UnitScores:
    """All predictors on one unit; the first is the model.

    ``facts`` are by sample id: its tags and what its truth tells, for breakdowns; ``truths``
    are by sample id: hashes of the truth that was scored against.
    """

    unit: Unit
    task: Task
    predictors: Mapping[str, PredictorScores]
    answers: Mapping[str, GroundedText | None] = field(repr=False)
    facts: Mapping[str, Mapping[str, str]] = field(repr=False)
    truths: Mapping[str, str] = field(repr=False)


def score_unit(
    unit: Unit, task: Task, stores: Mapping[str, PredictionStore], advance: Callable[[], None]
) -> UnitScores:
    """Judge every sample of a unit for every predictor.

    Args:
        unit: samples and their truth.
        task: the judge.
        stores: predictor -> its predictions; the model first.
        advance: told after each sample.

    Raises:
        DataError: truth is missing or malformed, or a predictions file is damaged.
    """
    found = {name: store.predictions() for name, store in stores.items()}
    counts: dict[str, list[Counts]] = {name: [] for name in stores}
    texts: dict[str, list[TextPair]] = {name: [] for name in stores}
    errors: dict[str, dict[str, str]] = {name: {} for name in stores}
    facts: dict[str, Mapping[str, str]] = {}
    truths: dict[str, str] = {}
    for sample in unit.samples:
        truth = sample.load_truth()
        facts[sample.id] = facts_of(sample, truth)
        truths[sample.id] = digest_of(truth)
        for name, predictions in found.items():
            prediction = predictions.get(sample.id) or Prediction(sample.id, None, 0.0, NOT_PREDICTED)
            error = prediction.error
            try:
                judged = task.score(prediction.answer, truth)
            except DataError:
                raise
            except GroundingError as misfit:
                error = str(misfit)
                judged = task.score(None, truth)
            counts[name].append(judged.counts)
            if error:
                errors[name][sample.id] = error
            if judged.texts is not None:
                texts[name].append(judged.texts)
        advance()
    corpus = task.judge_texts({name: pairs for name, pairs in texts.items() if pairs})
    return UnitScores(
        unit=unit,
        task=task,
        predictors={
            name: PredictorScores(
                counts={**_columns(counts[name]), **corpus.get(name, {})},
                errors=errors[name],
                seconds=_seconds(unit, found[name]),
            )
            for name in stores
        },
        answers={id: prediction.answer for id, prediction in found[MODEL].items()},
        facts=facts,
        truths=truths,
    )


def _columns(rows: Sequence[Counts]) -> dict[str, npt.NDArray[np.float64]]:
    return {key: np.array([row[key] for row in rows], dtype=np.float64) for key in rows[0]}


def _seconds(unit: Unit, predictions: Mapping[str, Prediction]) -> float:
    return sum(predictions[sample.id].seconds for sample in unit.samples if sample.id in predictions)
