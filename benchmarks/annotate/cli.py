"""``grounding annotate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def annotate(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A data set with expressions or sentences (mevis:train, vidstg:train), or a JSON file with "
            "masks or boxes and classes in the layout of YouTube-VIS.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Data root to write below; `video-gcg` reads it.")],
    recipe: Annotated[
        Path | None, typer.Option(help="YAML: who makes masks, describes and composes; default: no model.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="refseg or grounding, of data sets that have both; default: refseg.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder above a data set.")] = None,
    frames: Annotated[
        Path | None, typer.Option(help="Folder above the frames that a JSON file names.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to write: train, val or test.")] = "train",
    videos: Annotated[int | None, typer.Option(min=1, help="Only the first so many videos.")] = None,
) -> None:
    """Make grounded captions of videos from masks or boxes, class names, expressions or sentences.

    Run it again after an interruption: what is done is kept, answers of models included.
    """
    from dataclasses import replace

    from benchmarks.annotate.pipeline import AnnotateConfig
    from benchmarks.annotate.pipeline import annotate as run
    from benchmarks.annotate.sources import find
    from grounding_core.cli.progress import progress_bars

    config = AnnotateConfig() if recipe is None else AnnotateConfig.load(recipe)
    found = find(source, task=task, data_root=data_root, frames=frames)
    if videos is not None:
        found = replace(found, items=found.items[:videos], ids=found.ids[:videos])
    with progress_bars() as bars:
        manifest = run(found, config, out, split=split, progress=bars(f"Annotating {source}"))
    counts = manifest["counts"]
    print(
        f"{counts['captions']} captions of {counts['objects']} objects ({counts['masks']} masks), "
        f"{counts['set_aside']} set aside: {out / f'annotate-{split}.json'}"
    )
    if counts["set_aside"]:
        print(f"Reasons: {out / f'annotate-{split}.aside.jsonl'}")
