"""``python -m benchmarks.audit NAME``: precision and recall of the audit on faults planted in a data set."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.audit.auditing import Questions, audit, named
from benchmarks.audit.misfits import readable
from benchmarks.audit.planting import OF_WORDS, kinds, plant, twin
from benchmarks.disk import replace_text
from benchmarks.image_text import ImageText, named_image_text
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Sample

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Measured:
    """How well faults of one kind are found.

    Attributes:
        planted: samples with a planted fault of the kind.
        found: of them, those in which the audit names the kind.
        false: samples without it in which the audit names it all the same.
        clean: of those, samples without any fault; another fault may bring this one with it.
    """

    planted: int
    found: int
    false: int
    clean: int = 0

    def __add__(self, other: Measured) -> Measured:
        return Measured(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def recall(self) -> float | None:
        """Share of planted faults that are found; None without any."""
        return self.found / self.planted if self.planted else None

    @property
    def precision(self) -> float | None:
        """Share of findings that were planted; None without any."""
        named = self.found + self.false
        return self.found / named if named else None


def measure(
    questions: Questions,
    rate: float,
    seed: int,
    image_text: ImageText | None = None,
    only: Sequence[str] = (),
) -> dict[str, Measured]:
    """Plant faults, each kind at the same rate, audit, and count.

    One question a video is looked at, so that the other questions about it do not give a fault away.

    Args:
        questions: good data.
        rate: share of the samples that get a fault, in all.
        seed: of the choice.
        image_text: compares phrases with pictures; without it no phrase is planted wrong.
        only: kinds that are planted; all by default.
    """
    rng = np.random.default_rng(seed)
    first: dict[str, Sample] = {}
    for sample in questions.samples:
        first.setdefault(sample.video_id, sample)
    samples, planted = list(first.values()), dict[str, str]()
    wanted = [k for k in kinds() if (image_text is not None or k not in OF_WORDS) and (not only or k in only)]
    phrases = list(dict.fromkeys(phrase for sample in samples for phrase, _ in readable(sample)))
    for place in rng.permutation(len(samples))[: round(rate * len(samples))]:
        sample = samples[int(place)]
        # In turn; a sample that can't show a fault gets the next one that it can, and that one waits less.
        for kind in wanted:
            changed = plant(sample, kind, rng, phrases)
            if changed is not None:
                samples[int(place)], planted[sample.id] = changed, kind
                wanted = [*(other for other in wanted if other != kind), kind]
                break
    clean = [sample for sample in samples if sample.id not in planted]
    if questions.task == "gcg" and (not only or "caption-disagreement" in only):
        for one, other in list(pairwise(clean))[: max(len(planted) // len(wanted), 1)]:
            copy = twin(one, other)
            # The masks are those of another video: only what is said of the pair counts.
            truth = replace(copy.load_truth(), tracks=())
            samples.append(replace(copy, load_truth=partial(replace, truth)))
            planted |= {copy.id: "caption-disagreement", one.id: "caption-disagreement"}
    audited = audit([replace(questions, samples=samples)], image_text=image_text)
    found, false, clean_false = Counter[str](), Counter[str](), Counter[str]()
    for one_audited in audited:
        for kind in {fault.kind for fault in one_audited.faults}:
            if planted.get(one_audited.sample) == kind:
                found[kind] += 1
            elif not one_audited.sample.endswith("(copy)"):
                false[kind] += 1
                clean_false[kind] += one_audited.sample not in planted
    counts = Counter(planted.values())
    return {
        kind: Measured(counts[kind], found[kind], false[kind], clean_false[kind])
        for kind in sorted({*counts, *found, *false})
    }


@app.command()
def main(
    name: Annotated[str, typer.Argument(help="A data set whose truth is good, e.g. sprites.")],
    data_root: Annotated[Path, typer.Option(help="Folder above the data set.")],
    split: Annotated[str | None, typer.Option(help="Split; the data set's default if left out.")] = None,
    rate: Annotated[float, typer.Option(min=0, max=1, help="Share of the samples that get a fault.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Of the choice.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Choices, one after the other; counts are added.")] = 1,
    image_text: Annotated[
        str | None, typer.Option(help="Image–text component in YAML, to plant wrong phrases too.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="One task alone.")] = None,
    planted: Annotated[list[str] | None, typer.Option("--kind", help="Plant these kinds alone.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for the counts.")] = None,
) -> None:
    """Plant faults of every kind in good data and say how many the audit finds."""
    known = [*kinds(), "caption-disagreement"]
    if unknown := sorted(set(planted or ()) - set(known)):
        raise DataError(f"No fault {', '.join(unknown)} is planted.", f"Known: {', '.join(known)}.")
    model = None if image_text is None else named_image_text(image_text)
    written: dict[str, dict[str, dict[str, float | None]]] = {}
    for questions in named(name, split, data_root):
        if only not in (None, questions.task):
            continue
        rows: dict[str, Measured] = {}
        for one in range(seed, seed + seeds):
            for kind, counts in measure(questions, rate, one, model, planted or ()).items():
                rows[kind] = rows.get(kind, Measured(0, 0, 0)) + counts
        table = Table(title=f"{name} ({questions.task})", title_justify="left", box=None)
        for heading in ("fault", "planted", "found", "false", "in clean", "precision", "recall"):
            table.add_column(heading, justify="left" if heading == "fault" else "right")
        for kind, counts in sorted(rows.items()):
            shares = ["" if share is None else f"{share:.2f}" for share in (counts.precision, counts.recall)]
            table.add_row(
                kind, str(counts.planted), str(counts.found), str(counts.false), str(counts.clean), *shares
            )
        Console(highlight=False).print(table)
        written[questions.task] = {
            kind: {**vars(counts), "precision": counts.precision, "recall": counts.recall}
            for kind, counts in sorted(rows.items())
        }
    if out is not None:
        replace_text(out, json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    from grounding_core.cli import run

    run(app)
