"""``python -m benchmarks.perf.overhead``: what the harness costs beside the model.

Predictions on generated videos go the whole way: samples, digests of truths, JSON lines, the disk. The time
that the model takes to open a video, to read it and to answer is taken out of the same run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.finish import progress
from benchmarks.perf.measure import Figure, clock, report
from benchmarks.plan import Plan
from benchmarks.predict import predict, store_for
from benchmarks.predictors import RecipePredictor
from benchmarks.selection import Selection
from grounding_core import DEFAULT_RECIPE
from grounding_core.config import Recipe
from grounding_core.interfaces.dataset import Sample
from grounding_core.types import GroundedText

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Timed:
    """A predictor that counts the seconds inside the model."""

    def __init__(self, inner: RecipePredictor) -> None:
        self.inner = inner
        self.name = inner.name
        self.seconds = 0.0

    def fingerprint(self) -> dict[str, str]:
        return self.inner.fingerprint()

    def open(self, sample: Sample) -> Any:
        seconds, context = clock(lambda: self.inner.open(sample))
        self.seconds += seconds
        return context

    def answer(self, context: Any, samples: Sequence[Sample]) -> list[GroundedText]:
        seconds, answers = clock(lambda: self.inner.answer(context, samples))
        self.seconds += seconds
        return list(answers)


@app.command()
def measure(
    recipe: Annotated[str, typer.Option(help="Who answers.")] = DEFAULT_RECIPE,
    samples: Annotated[int, typer.Option(min=1, help="So many questions of each task.")] = 40,
    out: Annotated[Path | None, typer.Option(help="Folder for overhead.json.")] = None,
) -> None:
    """Print the time of predicting over the time of the model alone."""
    inner = RecipePredictor(Recipe.load(recipe))
    inner.load()
    tasks = ["refseg", "grounding", "gcg"]
    with progress(Console(stderr=True)) as bars:
        plan, units = Plan.of(
            inner.name, inner.fingerprint(), tasks, ["sprites"], None, Selection(samples), bars
        )
    figures = []
    for unit in units:
        model = Timed(inner)
        with tempfile.TemporaryDirectory() as folder:
            store = store_for(unit, "model", plan.fingerprint, Path(folder))
            with store:
                predict(unit, Timed(inner), store, unit.samples[:1], lambda: None)  # first calls are slower
                whole, _ = clock(partial(predict, unit, model, store, unit.samples, lambda: None))
        figures.append(
            Figure(
                f"{unit.task}, {len(unit.samples)} samples",
                f"{whole:.2f} s",
                f"{model.seconds:.2f} s in the model",
                100 * (whole / model.seconds - 1),
                3.0,
                atleast=False,
            )
        )
    report("overhead", figures, out, ["The ratio is the harness's part in per cent of the model's time."])


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.overhead")
