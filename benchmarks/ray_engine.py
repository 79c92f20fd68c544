"""Predicting on a Ray cluster: a worker takes a video with all its questions; what it loses is done again.

Everything is written by this process alone, so that a run folder is the same whoever answered. Ray is
imported here and nowhere else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from rich.progress import Progress

from benchmarks.plan import Plan
from benchmarks.predict import Line, answer_video, by_video, failure, keep, line_facts
from benchmarks.predictors import RecipePredictor
from benchmarks.store import PredictionStore
from benchmarks.units import Unit
from grounding_core.config import Recipe
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Sample

PATIENCE = 5
"""Workers that may die over one video, or while starting one after another, before it is given up."""

HINT = "pip install 'grounding-core[ray]'"


class Worker:
    """Holds a model and the samples of a plan; lives in a process of the cluster."""

    def __init__(self, recipe: Recipe, plan: Plan) -> None:
        self.predictor = RecipePredictor(recipe)
        if (now := self.predictor.fingerprint()) != dict(plan.fingerprint):
            other = next(
                key for key in {**plan.fingerprint, **now} if plan.fingerprint.get(key) != now.get(key)
            )
            raise GroundingError(
                f"A machine of the cluster has {other} {now.get(other)}, this one has "
                f"{plan.fingerprint.get(other)}.",
                "Install the same versions and weights on all of them.",
            )
        self.units = {unit.label: unit for unit in plan.units(Progress(disable=True))}
        self.samples = {
            label: {sample.id: sample for sample in unit.samples} for label, unit in self.units.items()
        }
        self.predictor.load()

    def ready(self) -> bool:
        """Answers once the model is loaded."""
        return True

    def answer(self, label: str, ids: Sequence[str]) -> list[Line]:
        """Lines for the samples of one video of a unit."""
        group = [self.samples[label][id] for id in ids]
        return answer_video(self.units[label], self.predictor, group, stamped=True)


class Cluster:
    """Workers of a Ray cluster. Make one with `connected`."""

    def __init__(self, ray: Any, recipe: Recipe, plan: Plan, workers: int | None) -> None:
        self._ray = ray
        resources = ray.cluster_resources()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
        self.size = workers or gpus or cpus
        if self.size < 1:
            raise GroundingError(
                "The Ray cluster has neither CPUs nor GPUs.", "Start a node with `ray start`."
            )
        # A GPU a worker, and its share of the CPUs for decoding; or one CPU a worker.
        needs = {"num_gpus": 1, "num_cpus": max(cpus // gpus // 2, 1)} if gpus else {"num_cpus": 1}
        actor = ray.remote(**needs)(Worker)
        self._start: Callable[[], Any] = lambda: actor.remote(recipe, plan)
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._failed_starts = 0

    def predict(
        self, unit: Unit, store: PredictionStore, samples: Sequence[Sample], advance: Callable[[], None]
    ) -> None:
        """Answer samples and write each video's lines as they come.

        Args:
            unit: what they belong to.
            store: open for writing.
            samples: what to answer.
            advance: told after each sample.

        Raises:
            GroundingError: workers can't start, or what they read is not what was planned.
        """
        waiting = deque((group, 0) for group in by_video(samples))
        running: dict[Any, tuple[Any, list[Sample], int]] = {}
        while waiting or running:
            self._hire(min(self.size, len(waiting) + len(running)) - len(running))
            while waiting and self._idle:
                worker, (group, deaths) = self._idle.pop(), waiting.popleft()
                task = worker.answer.remote(unit.label, [sample.id for sample in group])
                running[task] = worker, group, deaths
            done, _ = self._ray.wait([*running, *self._starting], num_returns=1)
            for task in done:
                if task in self._starting:
                    self._started(task)
                    continue
                worker, group, deaths = running.pop(task)
                lines = self._lines(task)
                if lines is not None:
                    self._idle.append(worker)
                    keep(store, lines, advance)
                elif deaths + 1 < PATIENCE:
                    waiting.append((group, deaths + 1))
                else:
                    keep(store, [_given_up(unit, sample) for sample in group], advance)

    def _hire(self, wanted: int) -> None:
        """Start workers until so many are idle or starting; those wait for places in the cluster."""
        for _ in range(wanted - len(self._idle) - len(self._starting)):
            worker = self._start()
            self._starting[worker.ready.remote()] = worker

    def _started(self, task: Any) -> None:
        worker = self._starting.pop(task)
        try:
            self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            raise_cause(error)
            self._failed_starts += 1
            if self._failed_starts >= PATIENCE:
                raise GroundingError(
                    f"{PATIENCE} workers died one after another while starting: {_first_line(error)}.",
                    "See Ray's logs; is there enough memory for the model?",
                ) from error
        else:
            self._failed_starts = 0
            self._idle.append(worker)

    def _lines(self, task: Any) -> list[Line] | None:
        """What a worker found; None if it, or the node that held the result, is gone."""
        try:
            lines: list[Line] = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            raise_cause(error)
            return None
        return lines


@contextmanager
def connected(recipe: Recipe, plan: Plan, address: str | None, workers: int | None) -> Iterator[Cluster]:
    """A cluster for as long as the context lasts.

    Args:
        recipe: whose model answers.
        plan: what is asked.
        address: of a running cluster (``auto`` or ``host:port``); None starts one on this machine.
        workers: how many; None: as many as there are GPUs, or CPUs where there is none.

    Raises:
        GroundingError: Ray is not installed, or nothing answers at the address.
    """
    with session(address) as ray:
        yield Cluster(ray, recipe, plan, workers)


@contextmanager
def session(address: str | None) -> Iterator[Any]:
    """The module ``ray``, connected; see `connected`."""
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise GroundingError("The engine 'ray' needs Ray.", HINT) from error
    own = not ray.is_initialized()
    if own:
        try:
            here: dict[str, Any] = {}
            if address is None:  # nothing outside this machine can reach it
                here = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
            elif address.startswith("127."):  # Ray would look for our node at the machine's outer address
                here = {"_node_ip_address": address.partition(":")[0]}
            ray.init(address=address or "local", log_to_driver=False, logging_level="error", **here)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise GroundingError(
                f"No Ray cluster at {address}: {_first_line(error)}.",
                "Check --address; `ray status` shows it.",
            ) from error
    try:
        yield ray
    finally:
        if own:
            ray.shutdown()


def raise_cause(error: Any) -> None:
    """Raise what a worker's own code raised; the death of a process or node is no such thing."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        raise cause
    text = str(error)
    if "GroundingError" in text or type(error).__name__.startswith("RayTaskError"):
        raise GroundingError(
            f"A worker failed: {_last_line(error)}.", "Mend it and run the same command again."
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")


def _given_up(unit: Unit, sample: Sample) -> Line:
    error = GroundingError(
        f"{PATIENCE} workers died over its video.", "Give them more memory and use --retry-errors."
    )
    return failure(sample, error, 0.0), line_facts(unit, sample)
