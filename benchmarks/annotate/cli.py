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
            help="A data set with expressions or sentences (mevis:train, vidstg:train), a JSON file with "
            "masks or boxes and classes (YouTube-VIS, BURST), or a video or folder of videos.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Data root to write below; `video-gcg` reads it.")],
    recipe: Annotated[
        Path | None, typer.Option(help="YAML: which component does each step; default: no model writes.")
    ] = None,
    objects: Annotated[
        str | None,
        typer.Option(
            help="Object source in place of the recipe's: expressions, sentences, classes, entities, videos."
        ),
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder above a data set.")] = None,
    frames: Annotated[
        Path | None, typer.Option(help="Folder above the frames that a JSON file names.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to write: train, val or test.")] = "train",
    videos: Annotated[int | None, typer.Option(min=1, help="Only the first so many videos.")] = None,
) -> None:
    """Make grounded captions, questions and answers from masks, boxes, classes, sentences or plain videos.

    Run it again after an interruption: what is done is kept, answers of models included.
    """
    from benchmarks.annotate.pipeline import AnnotateConfig
    from benchmarks.annotate.pipeline import annotate as run
    from benchmarks.annotate.sources import find
    from benchmarks.annotate.steps import Where
    from grounding_core.cli.progress import progress_bars
    from grounding_core.config import Part

    config = AnnotateConfig() if recipe is None else AnnotateConfig.load(recipe)
    named = config.objects if objects is None else Part(type=objects)
    part, found = find(source, named, Where(data_root, frames, config.frames))
    config = config.model_copy(update={"objects": part})
    if videos is not None:
        found = found.first(videos)
    with progress_bars() as bars:
        manifest = run(found, config, out, split=split, progress=bars(f"Annotating {source}"))
    counts = manifest["counts"]
    print(
        f"{counts['captions']} captions and {counts['questions']} questions about {counts['objects']} "
        f"objects ({counts['masks']} masks), {counts['set_aside']} set aside: "
        f"{out / f'annotate-{split}.json'}"
    )
    if counts["set_aside"] or counts["refused"]:
        print(f"Reasons: {out / f'annotate-{split}.aside.jsonl'}")
