"""``grounding review``."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from grounding_demo.commands import HostOption, listen

review = typer.Typer(add_completion=False)


@review.command()
def run_review(
    name_or_dir: Annotated[
        str, typer.Argument(metavar="NAME_OR_DIR", help="A data set, or a folder above data sets.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for changes.jsonl and what is exported.")],
    audit: Annotated[
        Path | None, typer.Option(help="Folder of `data audit` of the same data: its worst items come first.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder above a named data set.")] = None,
    split: Annotated[str | None, typer.Option(help="Split; the data set's default if left out.")] = None,
    masks: Annotated[
        str,
        typer.Option(
            help="Mask maker that redraws, in YAML: '{type: tracker, decoder: RECIPE}'; the default needs "
            "no model."
        ),
    ] = "{type: grabcut}",
    who: Annotated[
        str | None, typer.Option(help="Name that changes are put down to; yours on this machine if left out.")
    ] = None,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7861,
) -> None:
    """Step through captioned items in the browser: accept, drop, rename, link, redraw, fix captions."""
    from benchmarks.annotate.steps import part_of
    from benchmarks.review.loading import load_review
    from grounding_demo.review import make_review

    items = load_review(name_or_dir, out, audit, data_root, split)
    app = make_review(items, who=who or getpass.getuser(), masks=part_of(masks, "--masks"))
    listen(app, host, port, guarded=False)
