"""``python -m benchmarks.review``: export, and CVAT and Label Studio both ways, without a page."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.annotate.items import digest
from benchmarks.annotate.steps import build, part_of
from benchmarks.review import cvat, label_studio
from benchmarks.review.export import export as write_export
from benchmarks.review.loading import load_review
from benchmarks.review.reviewing import Review

app = typer.Typer(add_completion=False, no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME_OR_DIR", help="A data set, or a folder above data sets.")]
Folder = Annotated[Path, typer.Option("--review", help="Folder of the review.")]
Root = Annotated[Path | None, typer.Option(help="Folder above a named data set.")]
Split = Annotated[str | None, typer.Option(help="Split of a named data set.")]
Audit = Annotated[Path | None, typer.Option(help="Folder of an audit: the worst items first.")]
Items = Annotated[int, typer.Option(min=1, help="How many items.")]


@app.command()
def export(
    name_or_dir: Name,
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Data root to write below.")],
    data_root: Root = None,
    split: Split = None,
    to: Annotated[str, typer.Option(help="Split to write: train, val or test.")] = "train",
) -> None:
    """Write what was not dropped, with all changes, in the layout of the video GCG set, and scores.json."""
    manifest = write_export(load_review(name_or_dir, folder, None, data_root, split), out, to)
    print(json.dumps({"review": manifest["review"], "counts": manifest["counts"]}, indent=1))


@app.command("to-cvat")
def to_cvat(
    name_or_dir: Name,
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Folder for a zip an item.")],
    audit: Audit = None,
    data_root: Root = None,
    split: Split = None,
    items: Items = 20,
) -> None:
    """Write items, as they are now, for CVAT ("CVAT for images 1.1")."""
    review = load_review(name_or_dir, folder, audit, data_root, split)
    for item in review.items[:items]:
        cvat.write(review, item, out / f"{digest(item.key)[:12]}.zip")
    print(f"{min(items, len(review.items))} items in {out}")


@app.command("from-cvat")
def from_cvat(
    name_or_dir: Name,
    folder: Folder,
    files: Annotated[list[Path], typer.Argument(help="Zips or XML files that CVAT exported.")],
    who: Annotated[str | None, typer.Option(help="Name that the changes are put down to.")] = None,
    data_root: Root = None,
    split: Split = None,
) -> None:
    """Take over what was changed in CVAT."""
    review: Review = load_review(name_or_dir, folder, None, data_root, split)
    for path in files:
        changes = cvat.read(review, path, who or f"{getpass.getuser()} (CVAT)")
        print(f"{path}: {len(changes)} changes")


@app.command("to-label-studio")
def to_label_studio(
    name_or_dir: Name,
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Folder for tasks.json, labels.xml and media.")],
    shapes: Annotated[
        label_studio.Shape,
        typer.Option("--as", help="boxes: a video an item, rectangles; masks: a picture a frame, brushes."),
    ] = "boxes",
    prefix: Annotated[
        str, typer.Option(help="What Label Studio puts before a path below --out to find a file.")
    ] = label_studio.LOCAL,
    audit: Audit = None,
    data_root: Root = None,
    split: Split = None,
    items: Items = 20,
) -> None:
    """Write items, as they are now, for Label Studio: tasks to import, and their labelling configuration."""
    review = load_review(name_or_dir, folder, audit, data_root, split)
    label_studio.write(review, review.items[:items], out, shapes, prefix)
    print(f"{min(items, len(review.items))} items in {out}: labels.xml for a project, tasks.json to import")


@app.command("from-label-studio")
def from_label_studio(
    name_or_dir: Name,
    folder: Folder,
    files: Annotated[list[Path], typer.Argument(help="JSON files that Label Studio exported.")],
    masks: Annotated[
        str, typer.Option(help="Mask maker for boxes that were changed, in YAML; {type: box} fills them.")
    ] = "{type: grabcut}",
    who: Annotated[
        str | None, typer.Option(help="Name that the changes are put down to; default: the annotator's.")
    ] = None,
    data_root: Root = None,
    split: Split = None,
) -> None:
    """Take over what was changed in Label Studio."""
    review = load_review(name_or_dir, folder, None, data_root, split)
    maker = build("masks", part_of(masks, "--masks"))
    for path in files:
        print(f"{path}: {len(label_studio.read(review, path, who, maker))} changes")


if __name__ == "__main__":
    from grounding_core.cli import run

    run(app)
