"""Predict: each sample once, video by video, so that a model encodes each video once."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from benchmarks.facts import digest_of
from benchmarks.predictors import Predictor
from benchmarks.store import Prediction, PredictionStore
from benchmarks.units import Unit
from grounding_core.errors import DataError, GroundingError
from grounding_core.interfaces.dataset import Sample
from grounding_core.profiling import stage
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
    *,
    stamped: bool = True,
) -> None:
    """Answer samples and write each answer, or what went wrong, to the store.

    Args:
        unit: what the samples belong to.
        predictor: who answers.
        store: open for writing.
        samples: what to answer.
        advance: told after each sample.
        stamped: with a digest of the truth and the size of the video's files, by which a change is noticed.

    Raises:
        OSError: the disk refuses.
    """
    for group in by_video(samples):
        keep(store, answer_video(unit, predictor, group, stamped=stamped), advance)


Line = tuple[Prediction, dict[str, str | int]]
"""A prediction, and what its line says besides."""


def by_video(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Samples in groups that share a video: what a worker answers at once."""
    videos: dict[str, list[Sample]] = {}
    for sample in samples:
        videos.setdefault(sample.video_id, []).append(sample)
    return list(videos.values())


def answer_video(unit: Unit, predictor: Predictor, group: Sequence[Sample], *, stamped: bool) -> list[Line]:
    """Answers to the samples of one video; what goes wrong is one of them."""
    opened = cache(group[0].open_video)  # reading a file's index is not free
    group = [replace(sample, open_video=opened) for sample in group]
    with stage("rest of the model" if stamped else "baselines"):
        predictions = _of_video(predictor, group)
    lines: list[Line] = []
    with stage("harness"):
        size = _video_bytes(group[0]) if stamped else None
        for sample, prediction in zip(group, predictions, strict=True):
            known = line_facts(unit, sample) | ({} if size is None else {"video bytes": size})
            truth = _truth_digest(sample) if stamped and unit.truth else ""
            lines.append((replace(prediction, truth=truth), known))
    return lines


def keep(store: PredictionStore, lines: Sequence[Line], advance: Callable[[], None]) -> None:
    """Write lines to an open store.

    Raises:
        OSError: the disk refuses.
    """
    with stage("harness"):
        for prediction, known in lines:
            store.append(prediction, known)
            advance()


def check_videos(unit: Unit, store: PredictionStore) -> None:
    """See whether the videos of what is predicted are still the same; those that are gone are not needed.

    Raises:
        DataError: the files of one have another size.
    """
    then = store.video_bytes()
    now: dict[str, int | None] = {}
    for sample in unit.samples:
        if sample.id not in then:
            continue
        if sample.video_id not in now:
            now[sample.video_id] = _video_bytes(sample)
        if now[sample.video_id] not in (None, then[sample.id]):
            raise DataError(
                f"The video of {sample.id} ({unit.dataset}:{unit.split}) has changed since it was predicted.",
                "Restore it, or name another --out to start anew.",
            )


def _video_bytes(sample: Sample) -> int | None:
    try:
        return sum(path.stat().st_size for path in sample.open_video().files)
    except (GroundingError, OSError):
        return None  # whoever needs the video will say so


def _truth_digest(sample: Sample) -> str:
    try:
        return digest_of(sample.load_truth())
    except GroundingError:
        return ""  # scoring will say so


def line_facts(unit: Unit, sample: Sample) -> dict[str, str | int]:
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
            return [failure(samples[0], error, time.perf_counter() - start)]
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


def failure(sample: Sample, error: Exception, seconds: float) -> Prediction:
    """What is kept of a sample that could not be answered."""
    text = " ".join(str(error).split())
    kind = "" if isinstance(error, GroundingError) else f"{type(error).__name__}: "
    trace = "".join(traceback.format_exception(error))
    return Prediction(sample.id, None, seconds, f"{kind}{text}" or type(error).__name__, trace)
