"""``grounding annotate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
    engine: Annotated[
        Literal["here", "ray"], typer.Option(help="Who works: this process, or the workers of a Ray cluster.")
    ] = "here",
    address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster; default: one is started on this machine.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Workers on Ray; default: one a GPU, or one a CPU.")
    ] = None,
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
    from grounding_core.errors import GroundingError

    config = AnnotateConfig() if recipe is None else AnnotateConfig.load(recipe)
    named = config.objects if objects is None else Part(type=objects)
    # Workers on other machines have other working folders.
    where = Where(data_root and data_root.resolve(), frames and frames.resolve(), config.frames)
    source = str(Path(source).resolve()) if Path(source).exists() else source
    part, found = find(source, named, where)
    config = config.model_copy(update={"objects": part})
    if videos is not None:
        found = found.first(videos)
    elsewhere = None
    if engine == "ray":
        from benchmarks.annotate.on_ray import Cluster

        out = out.resolve()
        elsewhere = Cluster(source, where, config, out, split, address, workers).outcomes
    elif address is not None or workers is not None:
        raise GroundingError("--address and --workers are Ray's.", "Add --engine ray.")
    with progress_bars() as bars:
        progress = bars(f"Annotating {found.name}")
        manifest = run(found, config, out, split=split, progress=progress, elsewhere=elsewhere)
    counts = manifest["counts"]
    print(
        f"{counts['captions']} captions and {counts['questions']} questions about {counts['objects']} "
        f"objects ({counts['masks']} masks), {counts['set_aside']} set aside: "
        f"{out / f'annotate-{split}.json'}"
    )
    if counts["set_aside"] or counts["refused"]:
        print(f"Reasons: {out / f'annotate-{split}.aside.jsonl'}")
