"""Judging the answers to one video at a time, in this process or in others: what a pool of workers runs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

from benchmarks.facts import Shape, digest_of, facts_of
from benchmarks.store import Prediction, read_at
from benchmarks.tasks.base import Counts, Task, TextPair, load_task
from grounding_core.errors import DataError, GroundingError
from grounding_core.interfaces.dataset import Truth
from grounding_core.types import GroundedText

NOT_PREDICTED = "not predicted yet"
ABSENT = -1
"""Place of a prediction that is not there."""


@dataclass(frozen=True)
class Job:
    """The samples of one video.

    Attributes:
        rows: of the samples in their unit.
        ids, tags, truths, shapes: of these samples.
        places: predictor -> where in its file the prediction of each sample begins, or ABSENT.
    """

    rows: Sequence[int]
    ids: Sequence[str]
    tags: Sequence[Mapping[str, str]]
    truths: Sequence[Truth]
    shapes: Sequence[Shape | None]
    places: Mapping[str, Sequence[int]]


@dataclass
class Verdict:
    """One predictor's answers to a job's samples; ``errors`` and ``texts`` by row of the unit."""

    counts: list[Counts] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    texts: dict[int, TextPair] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Findings:
    """What is found of a job.

    Attributes:
        verdicts: by predictor.
        facts, digests: of the samples' truths.
    """

    verdicts: Mapping[str, Verdict]
    facts: Sequence[Mapping[str, str]]
    digests: Sequence[str]


@dataclass(frozen=True)
class Judge:
    """A task and the files of the predictors."""

    task: Task
    files: Mapping[str, Path]

    def __call__(self, job: Job) -> Findings:
        """Judge every predictor's answers.

        Raises:
            DataError: a predictions file is damaged, a truth has changed since its sample was predicted, or
                what the task needs is missing.
        """
        digests = [digest_of(truth) for truth in job.truths]
        samples = zip(job.tags, job.truths, job.shapes, strict=True)
        return Findings(
            {name: self._of(job, digests, path, job.places[name]) for name, path in self.files.items()},
            [facts_of(tags, truth, shape) for tags, truth, shape in samples],
            digests,
        )

    def _of(self, job: Job, digests: Sequence[str], path: Path, places: Sequence[int]) -> Verdict:
        verdict = Verdict()
        answers: list[GroundedText | None] = []
        samples = zip(job.rows, job.ids, places, job.truths, digests, strict=True)
        for row, id, place, truth, digest in samples:
            prediction = Prediction(id, None, 0.0, NOT_PREDICTED) if place == ABSENT else read_at(path, place)
            if prediction.truth not in ("", digest):
                raise DataError(
                    f"The truth of {id} has changed since it was predicted.",
                    "Restore the data set, or name another --out to start anew.",
                )
            verdict.seconds += prediction.seconds
            answer, error = prediction.answer, prediction.error
            try:
                judged = self.task.score(answer, truth)
            except DataError:
                raise
            except GroundingError as misfit:
                answer, error = None, str(misfit)
                judged = self.task.score(None, truth)
            answers.append(answer)
            verdict.counts.append(judged.counts)
            if error:
                verdict.errors[row] = error
            if judged.texts is not None:
                verdict.texts[row] = judged.texts
        for counts, more in zip(
            verdict.counts, self.task.judge_video(job.tags, job.truths, answers), strict=True
        ):
            counts |= more
        return verdict


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def judge_all(judge: Judge, jobs: Iterable[Job], workers: int) -> Iterator[tuple[Job, Findings]]:
    """Findings in the order of the jobs, of which only a few are held at a time.

    Workers are started afresh rather than forked, and make the task anew by its name.

    Args:
        judge: for ``workers`` 1 it is used as it is.
        jobs: drawn from as places become free.
        workers: processes.
    """
    if workers <= 1:
        for job in jobs:
            yield job, judge(job)
        return
    task = judge.task
    made = task.name, task.workspace, task.text_similarity, dict(judge.files)
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, made) as pool:
        open_jobs: deque[tuple[Job, Future[Findings]]] = deque()
        try:
            for job in jobs:
                open_jobs.append((job, pool.submit(_work, job)))
                if len(open_jobs) > 2 * workers:
                    done, findings = open_jobs.popleft()
                    yield done, findings.result()
            while open_jobs:
                done, findings = open_jobs.popleft()
                yield done, findings.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_judge: Judge | None = None
"""Of a worker process."""


def _start(name: str, workspace: Path, text_similarity: str, files: Mapping[str, Path]) -> None:
    global _judge
    Thread(target=_end_with_parent, daemon=True).start()
    _judge = Judge(load_task(name, workspace, text_similarity), files)


def _end_with_parent() -> None:
    """A parent that is killed can't tell its workers, which would wait for jobs for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job) -> Findings:
    assert _judge is not None, "the pool starts workers with _start"
    return _judge(job)
