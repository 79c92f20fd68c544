"""``python -m benchmarks.audit.training``: what filtering by an audit buys, and what a made set is worth.

One stage of a recipe is trained alike, from the same weights, on several sets of captions of the same size,
and each model scored on the same validation split: clean captions; the same with planted faults; what an
audit leaves of those; and, where one is named, a set made by ``grounding annotate``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from benchmarks.audit.auditing import Questions, audit, below, named
from benchmarks.audit.misfits import readable
from benchmarks.audit.planting import kinds, plant
from benchmarks.disk import replace_text
from benchmarks.image_text import ImageText, named_image_text
from benchmarks.units import Unit
from grounding_core.cli.options import SetOption
from grounding_core.cli.progress import progress_bars
from grounding_core.config import Recipe, validation_problems
from grounding_core.errors import DataError, RecipeError
from grounding_core.interfaces.dataset import Sample
from grounding_core.training.config import TrainConfig

MOST = 0.2
"""Audit score from which a sample is filtered out, as ``training.max_audit``."""
UNPLANTED = ("undecodable", "box-outside")
"""Kinds of faults that a caption can't have, or that training notices by itself."""
FOUND = 0.5
"""IoU from which an object is found."""

app = typer.Typer(add_completion=False)


def noisy(
    samples: Sequence[Sample], rate: float, seed: int, faults: int = 1
) -> tuple[list[Sample], dict[str, list[str]]]:
    """Samples of which a share has planted faults, kinds in turn; and which have which."""
    rng = np.random.default_rng(seed)
    found, planted = list(samples), dict[str, list[str]]()
    phrases = list(dict.fromkeys(phrase for sample in samples for phrase, _ in readable(sample)))
    wanted = [kind for kind in kinds() if kind not in UNPLANTED]
    for place in rng.permutation(len(found))[: round(rate * len(found))]:
        mine: list[str] = []
        for kind in list(wanted):
            changed = plant(found[int(place)], kind, rng, phrases) if len(mine) < faults else None
            if changed is not None:
                found[int(place)] = changed
                mine.append(kind)
                wanted = [*(other for other in wanted if other != kind), kind]
        if mine:
            planted[found[int(place)].id] = mine
    return found, planted


def sets(
    questions: Questions, rate: float, seed: int, image_text: ImageText | None, faults: int = 1
) -> tuple[dict[str, list[Sample]], dict[str, int]]:
    """The clean, the noisy and the filtered set, all of the size of the last; and how many are what."""
    clean = list(questions.samples)
    bad, planted = noisy(clean, rate, seed, faults)
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


@dataclass(frozen=True)
class Training:
    """What all sets have in common.

    Attributes:
        recipe: with its overrides.
        stage: its stage, with steps and seed.
        initial: what it starts from: a folder with weights, or a recipe that names one.
        scored: captions with masks, of the validation split.
    """

    recipe: Recipe
    stage: TrainConfig
    initial: str
    scored: Questions

    @classmethod
    def of(
        cls, recipe: Recipe, stage: str, changes: Mapping[str, Any], initial: str | None, scored: Questions
    ) -> Training:
        """A stage of a recipe, with some of its options changed.

        Raises:
            DataError: the recipe has no such stage, or there are no weights.
            RecipeError: options are wrong.
        """
        stages = {one.name: one for one in (recipe.training or TrainConfig()).staged()}
        weights = initial or recipe.checkpoint
        if stage not in stages:
            raise DataError(f"{recipe.name} has no stage {stage!r}.", f"It has {', '.join(stages)}.")
        if weights is None:
            raise DataError(f"{recipe.name} has no weights to start from.", "Name a checkpoint with --from.")
        chosen = {**stages[stage].model_dump(), **changes}
        try:
            return cls(recipe, TrainConfig.model_validate(chosen), weights, scored)
        except ValidationError as error:
            raise RecipeError(recipe.name, validation_problems(error, f"training.{stage}")) from error

    def run(self, samples: Sequence[Sample], folder: Path) -> dict[str, Any]:
        """Train on samples and score; what an earlier run scored, where it is there.

        Returns:
            ``measures``, and the ``ious`` of all phrases where they were scored one by one.

        Raises:
            DataError: the folder holds a run with other settings.
        """
        from grounding_core.training.loop import train

        result = folder / "result.json"
        shown = [sample.id for sample in self.scored.samples]
        settings = {
            "recipe": self.recipe.fingerprint(),
            "from": self.initial,
            "stage": self.stage.model_dump(mode="json"),
            "samples": [sample.id for sample in samples],
            "scored": shown,
        }
        if result.is_file():
            kept: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
            if kept["settings"] != settings:
                raise DataError(f"{folder} holds a run with other settings.", "Name another --out.")
            return kept
        checkpoint = train(
            self.recipe, self.stage, {("set", "gcg"): list(samples)}, folder, initial=self.initial
        )
        found = {**self._score(checkpoint, folder), "settings": settings}
        replace_text(result, json.dumps(found))
        return found

    def _score(self, checkpoint: Path, folder: Path) -> dict[str, Any]:
        """By phrases where the stage taught the mask decoder alone, else by the model's captions."""
        from benchmarks.audit.words import phrase_ious
        from benchmarks.validation import Validation
        from grounding_core.compose import build
        from grounding_core.model import GroundingModel

        model = build(self.recipe.model_copy(update={"checkpoint": str(checkpoint)}))
        assert isinstance(model, GroundingModel)  # whole models have no training section
        if self.stage.objective == "prompts":
            by_sample = phrase_ious(model, checkpoint, self.scored.samples)
            ious = [iou for found in by_sample.values() for iou in found]
            found = {"phrase IoU": float(np.mean(ious)), "found": float(np.mean(np.array(ious) >= FOUND))}
            return {"measures": found, "ious": ious}
        asked = self.scored
        unit = Unit(asked.task, asked.dataset, asked.split, asked.samples, asked.samples, "", "", True)
        return {"measures": dict(Validation([unit], len(asked.samples))(model, folder / "answers.png"))}


def first_captions(name: str, split: str, root: Path, videos: int) -> Questions:
    """The captions of the first so many videos of a split.

    Raises:
        DataError: the data set has no captions.
    """
    for questions in named(name, split, root):
        if questions.task == "gcg":
            captions = [one for one in questions.samples if one.query.kind == "describe"]
            return replace(questions, samples=sorted(captions, key=lambda one: one.id)[:videos])
    raise DataError(f"{name} has no captions.", "Name a captioned set: sprites, video-gcg.")


@app.command()
def main(
    name: Annotated[str, typer.Argument(help="A captioned set whose truth is good: sprites.")],
    data_root: Annotated[Path, typer.Option(help="Folder above it.")],
    out: Annotated[Path, typer.Option(help="Folder; the same again goes on after an interruption.")],
    split: Annotated[str, typer.Option(help="Split to learn from.")] = "train",
    validation: Annotated[str, typer.Option(help="Split to score.")] = "val",
    rate: Annotated[float, typer.Option(min=0, max=1, help="Share of the captions that get faults.")] = 0.5,
    faults: Annotated[int, typer.Option(min=1, help="Faults of each of them, of different kinds.")] = 1,
    videos: Annotated[int, typer.Option(min=1, help="Videos to learn from, before filtering.")] = 1000,
    scored: Annotated[int, typer.Option(min=1, help="Videos that are scored.")] = 60,
    recipe: Annotated[str, typer.Option(help="Recipe that is trained.")] = "videoglamm-tiny",
    stage: Annotated[
        str,
        typer.Option(
            help="Its stage. One with the objective `prompts` trains the mask decoder on words alone, and is "
            "scored by phrases; others by captions."
        ),
    ] = "prompts",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of each model.")] = 600,
    initial: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER|RECIPE",
            help="Checkpoint to start from, or a recipe with one; default: the recipe's own.",
        ),
    ] = None,
    made: Annotated[Path | None, typer.Option(help="Data root that `grounding annotate` wrote.")] = None,
    image_text: Annotated[
        str | None, typer.Option(help="Image–text component of the audit, in YAML.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the faults and of training.")] = 0,
    options: Annotated[
        list[str] | None, typer.Option("--option", help="Option of the stage, as `lr=1e-4`.")
    ] = None,
    overrides: SetOption = None,
) -> None:
    """Train alike on clean, noisy and filtered captions (and a made set), and print what each is worth."""
    changes: dict[str, Any] = {
        "steps": steps,
        "decay": steps // 2,
        "warmup": min(60, steps // 10),
        "seed": seed,
    }
    changes |= {"tokenizer_vocabulary": None}  # that of the weights is kept
    changes |= {key: yaml.safe_load(value) for key, _, value in (one.partition("=") for one in options or ())}
    training = Training.of(
        Recipe.load(recipe, overrides or []),
        stage,
        changes,
        initial,
        first_captions(name, validation, data_root, scored),
    )
    model = None if image_text is None else named_image_text(image_text)
    learned, facts = sets(first_captions(name, split, data_root, videos), rate, seed, model, faults)
    if made is not None:
        asked = [one for found in below(made) if found.task == "gcg" for one in found.samples]
        learned["made"] = [one for one in asked if one.query.kind == "describe"][: facts["kept"]]
    rows = {label: training.run(samples, out / label) for label, samples in learned.items()}
    counts = {label: len(samples) for label, samples in learned.items()}
    measures = {label: row["measures"] for label, row in rows.items()}
    told = {"sets": facts, "counts": counts, "measures": measures}
    replace_text(out / "training.json", json.dumps(told, indent=1) + "\n")
    show(rows, counts, f"{steps} steps of {recipe} ({stage}); {facts}")


def show(rows: Mapping[str, Mapping[str, Any]], counts: Mapping[str, int], title: str) -> None:
    """Print the measures in percent, and how far each set's phrases are from those of the first."""
    from benchmarks.audit.words import interval

    first, *_ = rows.values()
    table = Table("set", "captions", *first["measures"], title=title, box=None)
    if "ious" in first:
        table.add_column("minus the first (95 % interval)")
    for label, row in rows.items():
        cells = [label, str(counts[label]), *(f"{100 * value:.1f}" for value in row["measures"].values())]
        if "ious" in row and row is not first:
            low, high = interval(row["ious"], first["ious"])
            gap = np.mean(row["ious"]) - np.mean(first["ious"])
            cells.append(f"{100 * gap:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})")
        table.add_row(*cells)
    Console(highlight=False).print(table)


if __name__ == "__main__":
    from grounding_core.cli import run

    run(app)
