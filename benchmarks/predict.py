"""Predict: each sample once, video by video, so that a model encodes each video once."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.predictors import Predictor
from benchmarks.store import Prediction, PredictionStore
from benchmarks.units import Unit
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Sample
from grounding_core.types import GroundedText


def store_for(unit: Unit, predictor: str, facts: Mapping[str, str], folder: Any) -> PredictionStore:
    """The store of a predictor on a unit; nothing that shapes its predictions is left out of the key."""
    what = {"task": unit.task, "dataset": unit.dataset, "split": unit.split, "data": unit.data}
    return PredictionStore(folder, f"{unit.label}.{predictor.replace(' ', '-')}", {**what, **facts})


def pending(unit: Unit, store: PredictionStore, *, retry_errors: bool) -> list[Sample]:
    """Samples not reached yet, and with ``retry_errors`` also those that failed."""
    done = store.done(retry_errors=retry_errors)
    return [sample for sample in unit.samples if sample.id not in done]


def predict(
    unit: Unit,
    predictor: Predictor,
    store: PredictionStore,
    samples: Sequence[Sample],
    advance: Callable[[], None],
) -> None:
    """Answer samples and write each answer, or what went wrong, to the store.

    Args:
        unit: what the samples belong to.
        predictor: who answers.
        store: open for writing.
        samples: what to answer.
        advance: told after each sample.

    Raises:
        OSError: the disk refuses.
    """
    videos: dict[str, list[Sample]] = {}
    for sample in samples:
        videos.setdefault(sample.video_id, []).append(sample)
    for group in videos.values():
        for prediction in _of_video(predictor, group):
            store.append(prediction, line_facts(unit, group[0]))
            advance()


def line_facts(unit: Unit, sample: Sample) -> dict[str, str]:
    """What a line says of its sample, for readers of the file."""
    return {"task": unit.task, "dataset": f"{unit.dataset}:{unit.split}", "video": sample.video_id}


def _of_video(predictor: Predictor, samples: Sequence[Sample]) -> list[Prediction]:
    start = time.perf_counter()
    try:
        context = predictor.open(samples[0])
        answers = _answers(predictor, context, samples)
    # A model may fail in any way, and a failure is a result: it is kept, counted and shown.
    except Exception as error:  # noqa: BLE001
        if len(samples) == 1:
            return [_failure(samples[0], error, time.perf_counter() - start)]
        # One question may have spoilt it for all: ask one by one.
        return [prediction for sample in samples for prediction in _of_video(predictor, [sample])]
    seconds = (time.perf_counter() - start) / len(samples)
    return [Prediction(s.id, answer, seconds) for s, answer in zip(samples, answers, strict=True)]


def _answers(predictor: Predictor, context: Any, samples: Sequence[Sample]) -> list[GroundedText]:
    answers = predictor.answer(context, samples)
    if len(answers) != len(samples):
        raise GroundingError(
            f"{predictor.name} gave {len(answers)} answers to {len(samples)} questions.",
            "A model must answer each question once.",
        )
    return answers


def _failure(sample: Sample, error: Exception, seconds: float) -> Prediction:
    text = " ".join(str(error).split())
    kind = "" if isinstance(error, GroundingError) else f"{type(error).__name__}: "
    return Prediction(
        sample.id, None, seconds, f"{kind}{text}" or type(error).__name__, traceback.format_exc()
    )
