"""``grounding data``: make data sets that plugins generate on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Make generated data sets.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make generated data sets."""


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(help="A generated data set, e.g. sprites.")],
    out: Annotated[Path, typer.Option(help="Data root to write below.")],
    split: Annotated[str | None, typer.Option(help="Split; the data set's default if left out.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; the split's own if left out.")] = None,
    videos: Annotated[int | None, typer.Option(min=1, help="How many; the split's own if left out.")] = None,
) -> None:
    """Write a split of a generated data set: the same seed gives the same annotations."""
    from grounding_core.cli.progress import progress_bars
    from grounding_core.errors import DataError
    from grounding_core.interfaces.dataset import GeneratedDataset
    from grounding_core.plugins import registry

    found = registry().load("dataset", name)
    if not (isinstance(found, type) and issubclass(found, GeneratedDataset)):
        raise DataError(
            f"The data set {name!r} is read from disk, not generated.", "Download it; see its documentation."
        )
    dataset = found()
    split = split or dataset.default_split
    if split not in dataset.splits:
        raise DataError(
            f"The data set {name!r} has no split {split!r}.", f"Use one of {', '.join(dataset.splits)}."
        )
    with progress_bars() as bars:
        dataset.prepare(out, split=split, seed=seed, videos=videos, progress=bars(f"{name} {split}"))
    print(f"{name} {split} is ready below {out}")
