"""Who predicts what is missing: this process, others launched beside it, or the workers of a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from rich.progress import Progress

from benchmarks.baselines import BASELINES
from benchmarks.finish import stores
from benchmarks.launched import Crew, gather, leading, predict_together
from benchmarks.plan import Plan
from benchmarks.predict import check_videos, pending, predict
from benchmarks.predictors import RecipePredictor
from benchmarks.ray_engine import Cluster, connected
from benchmarks.scores import MODEL
from benchmarks.store import PredictionStore
from benchmarks.units import Unit
from grounding_core.compose import plan as check_fit
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Sample

Engine = Literal["here", "ray"]


@dataclass(frozen=True)
class How:
    """How predictions are made.

    Attributes:
        engine: ``here`` in this process (and others that torchrun or accelerate launched), or ``ray``.
        address: of a running Ray cluster; None starts one on this machine.
        workers: of Ray; None: as many as there are GPUs, or CPUs where there is none.
        retry_errors: try samples again that failed before.
        profile: write time and memory by stage into the report.

    Raises:
        GroundingError: the options contradict each other.
    """

    engine: Engine = "here"
    address: str | None = None
    workers: int | None = None
    retry_errors: bool = False
    profile: bool = False

    def __post_init__(self) -> None:
        if self.engine == "here" and (self.address or self.workers):
            raise GroundingError("--address and --workers are Ray's.", "Add --engine ray.")
        if self.profile and (self.engine != "here" or Crew.here().size > 1):
            raise GroundingError(
                "--profile looks at one process.", "Leave out --engine, and launch a single one."
            )


Missing = Mapping[str, list[Sample]]
"""Label of a unit -> samples that the model has yet to answer."""


def begin(
    folder: Path, plan: Plan, units: list[Unit], model: RecipePredictor, how: How, crew: Crew
) -> Missing:
    """Make sure that what is missing can be predicted, and only then keep the plan in the folder.

    A recipe that can't be built leaves a folder as it was: still about what its scores are of.

    Raises:
        OSError: the disk refuses.
        GroundingError: the recipe can't be built, or data or a video has changed.
    """
    leading(crew, lambda: _gather(folder, plan, units))
    missing = {}
    for unit in units:
        store = stores(folder, unit, plan.fingerprint)[MODEL]
        check_videos(unit, store)
        missing[unit.label] = pending(unit, store, retry_errors=how.retry_errors)
    if any(missing.values()):
        # A recipe that can't be built is one error, not one a sample.
        check_fit(model.recipe, tasks=plan.tasks)
        if how.engine == "here" and crew.size == 1:
            model.load()
    leading(crew, lambda: plan.begin(folder))
    return missing


def _gather(folder: Path, plan: Plan, units: list[Unit]) -> None:
    """Take over what processes of a run that broke off have written."""
    for unit in units:
        gather(folder, stores(folder, unit, plan.fingerprint)[MODEL])


def predict_missing(
    folder: Path,
    plan: Plan,
    units: list[Unit],
    missing: Missing,
    model: RecipePredictor,
    how: How,
    crew: Crew,
    bars: Progress,
) -> None:
    """Answer what no store holds yet, with the model and, in the first process, with the baselines.

    Raises:
        OSError: the disk refuses.
        GroundingError: the cluster can't be used.
    """
    with ExitStack() as stack:
        cluster: Cluster | None = None
        for unit in units:
            found = stores(folder, unit, plan.fingerprint)
            if samples := missing[unit.label]:
                advance = _bar(bars, unit, model.name, samples, visible=True)
                if how.engine == "ray":
                    if cluster is None:
                        cluster = stack.enter_context(connected(model.recipe, plan, how.address, how.workers))
                    with found[MODEL] as store:
                        cluster.predict(unit, store, samples, advance)
                elif crew.size > 1:
                    predict_together(crew, folder, unit, model, found[MODEL], samples, advance)
                else:
                    with found[MODEL] as store:
                        predict(unit, model, store, samples, advance)
            if crew.leads:
                _baselines(unit, found, how.retry_errors, bars)


def _baselines(unit: Unit, found: dict[str, PredictionStore], retry_errors: bool, bars: Progress) -> None:
    if not unit.truth:  # baselines borrow from it, and without a score there is nothing to compare
        return
    for baseline in BASELINES:
        store = found[baseline.name]
        if missing := pending(unit, store, retry_errors=retry_errors):
            advance = _bar(bars, unit, baseline.name, missing, visible=False)
            with store:
                predict(unit, baseline(unit), store, missing, advance, stamped=False)


def _bar(bars: Progress, unit: Unit, name: str, missing: list[Sample], *, visible: bool) -> partial[None]:
    bar = bars.add_task(f"{unit.task}: {name}", total=len(unit.samples))
    bars.update(bar, completed=len(unit.samples) - len(missing), visible=visible)
    return partial(bars.advance, bar)
