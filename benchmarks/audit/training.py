"""``python -m benchmarks.audit.training``: what filtering by an audit buys, and what a made set is worth.

One recipe is trained alike on several sets of captions of the same size, and each model scored on the same
validation split: clean captions; the same with planted faults; what an audit leaves of those; and, where one
is named, a set made by ``grounding annotate``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.audit.auditing import Questions, audit, below, named
from benchmarks.audit.planting import kinds, plant
from benchmarks.disk import replace_text
from benchmarks.image_text import ImageText, named_image_text
from benchmarks.units import Unit, find_units
from grounding_core.cli.progress import progress_bars
from grounding_core.config import Recipe
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Sample

MOST = 0.2
"""Audit score from which a sample is filtered out, as ``training.max_audit``."""
UNPLANTED = ("undecodable", "box-outside")
"""Kinds of faults that a caption can't have, or that training notices by itself."""

app = typer.Typer(add_completion=False)


def noisy(samples: Sequence[Sample], rate: float, seed: int) -> tuple[list[Sample], dict[str, str]]:
    """Samples of which a share has a planted fault, kinds in turn; and which have one."""
    rng = np.random.default_rng(seed)
    found, planted = list(samples), dict[str, str]()
    wanted = [kind for kind in kinds() if kind not in UNPLANTED]
    for place in rng.permutation(len(found))[: round(rate * len(found))]:
        for kind in wanted:
            changed = plant(found[int(place)], kind, rng)
            if changed is not None:
                found[int(place)], planted[changed.id] = changed, kind
                wanted = [*(other for other in wanted if other != kind), kind]
                break
    return found, planted


def sets(
    questions: Questions, rate: float, seed: int, image_text: ImageText | None
) -> tuple[dict[str, list[Sample]], dict[str, int]]:
    """The clean, the noisy and the filtered set, all of the size of the last; and how many are what."""
    clean = list(questions.samples)
    bad, planted = noisy(clean, rate, seed)
    with progress_bars() as bars:
        progress = bars("Auditing the noisy set")
        audited = audit([replace(questions, samples=bad)], progress=progress, image_text=image_text)
    kept = {one.sample for one in audited if one.score < MOST}
    filtered = [sample for sample in bad if sample.id in kept]
    order = np.random.default_rng(seed).permutation(len(clean))[: len(filtered)].tolist()
    facts = {
        "samples": len(clean),
        "planted": len(planted),
        "kept": len(filtered),
        "planted that were kept": sum(id in kept for id in planted),
    }
    if not filtered:
        raise DataError("The audit leaves nothing.", "Plant fewer faults: --rate.")
    return {
        "clean": [clean[place] for place in order],
        "noisy": [bad[place] for place in order],
        "filtered": filtered,
    }, facts


def train_and_score(
    recipe: str,
    overrides: Sequence[str],
    samples: Sequence[Sample],
    scored: Sequence[Unit],
    videos: int,
    folder: Path,
    initial: str | None,
) -> Mapping[str, float]:
    """Measures of a recipe trained on samples; those of an earlier run where they are there."""
    from benchmarks.validation import Validation
    from grounding_core.compose import build
    from grounding_core.model import GroundingModel
    from grounding_core.training.config import TrainConfig
    from grounding_core.training.loop import train

    result = folder / "result.json"
    settings = [recipe, list(overrides), [sample.id for sample in samples], initial, videos]
    if result.is_file():
        kept = json.loads(result.read_text(encoding="utf-8"))
        if kept["settings"] != settings:
            raise DataError(f"{folder} holds a run with other settings.", "Name another folder with --out.")
        return dict(kept["measures"])
    wanted = Recipe.load(recipe, overrides)
    checkpoint = train(
        wanted, wanted.training or TrainConfig(), {("set", "gcg"): list(samples)}, folder, initial=initial
    )
    trained = [*overrides, f"checkpoint={checkpoint}"]
    if (checkpoint / "tokenizer.json").is_file():
        trained.append(f"language_model.tokenizer={checkpoint}")
    model = build(Recipe.load(recipe, trained))
    assert isinstance(model, GroundingModel)  # whole models have no training section
    measures = Validation(scored, videos)(model.eval(), folder / "answers.png")
    replace_text(result, json.dumps({"settings": settings, "measures": measures}, indent=1))
    return measures


@app.command()
def main(
    name: Annotated[str, typer.Argument(help="A captioned set whose truth is good: sprites.")],
    data_root: Annotated[Path, typer.Option(help="Folder above it.")],
    out: Annotated[Path, typer.Option(help="Folder; the same again goes on after an interruption.")],
    split: Annotated[str, typer.Option(help="Split to learn from.")] = "train",
    validation: Annotated[str, typer.Option(help="Split to score.")] = "val",
    rate: Annotated[float, typer.Option(min=0, max=1, help="Share of the samples that get a fault.")] = 0.5,
    videos: Annotated[int, typer.Option(min=1, help="Videos to learn from, before filtering.")] = 1000,
    scored: Annotated[int, typer.Option(min=1, help="Videos that are scored.")] = 60,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of each model.")] = 600,
    recipe: Annotated[str, typer.Option(help="Recipe that is trained.")] = "videoglamm-tiny",
    initial: Annotated[
        str | None, typer.Option("--from", metavar="FOLDER", help="Checkpoint that all models start from.")
    ] = None,
    made: Annotated[Path | None, typer.Option(help="Data root that `grounding annotate` wrote.")] = None,
    image_text: Annotated[
        str | None, typer.Option(help="Image–text component of the audit, in YAML.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the faults and of training.")] = 0,
    options: Annotated[list[str] | None, typer.Option("--set", help="Overrides of the recipe.")] = None,
) -> None:
    """Train alike on clean, noisy and filtered captions (and a made set), and print what each is worth."""
    (questions,) = (one for one in named(name, split, data_root) if one.task == "gcg")
    questions = replace(questions, samples=sorted(questions.samples, key=lambda s: s.id)[:videos])
    model = None if image_text is None else named_image_text(image_text)
    learned, facts = sets(questions, rate, seed, model)
    if made is not None:
        captions = [
            sample
            for one in below(made)
            if one.task == "gcg"
            for sample in one.samples
            if not sample.query.text
        ]
        learned["made"] = captions[: facts["kept"]]
    with progress_bars() as preparing:
        units = find_units(["gcg"], [f"{name}:{validation}"], data_root=data_root, preparing=preparing)
    overrides = ["training.stages=[]", "training.tokenizer_vocabulary=null", f"training.steps={steps}"]
    overrides += [f"training.decay={steps // 2}", f"training.seed={seed}", *(options or [])]
    rows = {
        label: train_and_score(recipe, overrides, samples, units, scored, out / label, initial)
        for label, samples in learned.items()
    }
    counts = {label: len(samples) for label, samples in learned.items()}
    replace_text(
        out / "training.json", json.dumps({"sets": facts, "counts": counts, "measures": rows}, indent=1)
    )
    measures = list(next(iter(rows.values())))
    table = Table("set", "captions", *(key.split(" ", 1)[-1] for key in measures), box=None)
    table.title = f"{steps} steps of {recipe}; {facts}"
    for label, row in rows.items():
        table.add_row(label, str(counts[label]), *(f"{100 * row[key]:.2f}" for key in measures))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    from grounding_core.cli import run

    run(app)
