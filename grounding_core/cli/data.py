"""``grounding data``: list data sets, check what is there of them, audit their truth, prepare them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grounding_core.cli.options import names_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from benchmarks.audit.findings import Total
    from grounding_core.datasets import SplitReport

app = typer.Typer(help="List, check, audit and prepare data sets.", no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(help="A data set, e.g. mevis or sprites.", autocompletion=names_of("dataset"))
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.callback()
def _group() -> None:
    """List, check, audit and prepare data sets."""


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List installed data sets: tasks, splits with their published counts, licence."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from grounding_core.datasets import splits_of
    from grounding_core.interfaces.dataset import GeneratedDataset
    from grounding_core.plugins import registry

    rows: list[dict[str, Any]] = []
    for name in registry().names("dataset"):
        found = registry().load("dataset", name)
        generated = issubclass(found, GeneratedDataset)
        rows.append(
            {
                "name": name,
                "tasks": list(found.readings if generated else found.tasks),
                "splits": {split: dataclasses.asdict(it) for split, it in splits_of(found).items()},
                "default_split": found.default_split,
                "licence": found.licence,
                "generated": generated,
            }
        )
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    console = Console(highlight=False)
    for row in rows:
        console.print(f"[bold]{row['name']}[/bold] ({', '.join(row['tasks'])})")
        table = Table(box=None, padding=(0, 2, 0, 2))
        for heading in ("split", "videos", "samples", "note"):
            counted = heading in ("videos", "samples")
            table.add_column(heading, overflow="fold", justify="right" if counted else "left")
        for split, counts in row["splits"].items():
            default = " *" if split == row["default_split"] else ""
            numbers = [_count(counts["videos"]), _count(counts["samples"])]
            table.add_row(f"{split}{default}", *numbers, escape(counts["note"]))
        console.print(table)
        console.print(f"  {row['licence']}\n", style="dim", markup=False, soft_wrap=True)
    print("Counts are the publishers'; ? where they state none. * is read when no split is named.")


@app.command()
def check(
    name: NameArgument,
    data_root: Annotated[
        Path | None,
        typer.Option(
            help="Folder above the data sets; generated ones are looked for in the cache without it."
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split; the data set's default if left out.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is there of a data set, what is missing and where to get it; exit code 1 if something is.

    Every video is opened, a few truths are read, and what is counted is held against the published counts.
    """
    from rich.console import Console

    from grounding_core import datasets
    from grounding_core.cli.progress import progress_bars
    from grounding_core.plugins import registry

    found = registry().load("dataset", name)
    chosen = datasets.known_split(name, found, split)
    data_root = _root_of(name, data_root)
    with progress_bars() as bars:
        reports = datasets.check(name, chosen, data_root, bars(f"Opening {name} {chosen}"))
    if as_json:
        shown = [
            {**dataclasses.asdict(report), "complete": report.complete, "differences": report.differences}
            for report in reports
        ]
        print(json.dumps({"name": name, "licence": found.licence, "reports": shown}, indent=2))
    else:
        console = Console(soft_wrap=True)
        for report in reports:
            _show(console, name, report)
        console.print(f"Licence: {found.licence}", highlight=False, markup=False)
    if not all(report.complete for report in reports):
        raise typer.Exit(1)


@app.command()
def audit(
    name_or_dir: Annotated[
        str, typer.Argument(metavar="NAME_OR_DIR", help="A data set, or a folder above data sets.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for index.html, findings.jsonl and scores.json.")],
    data_root: Annotated[
        Path | None,
        typer.Option(
            help="Folder above a named data set; generated ones are looked for in the cache without it."
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split; the data set's default if left out.")] = None,
    videos: Annotated[int | None, typer.Option(min=1, help="Look at so many videos a split at most.")] = None,
    image_text: Annotated[
        str | None,
        typer.Option(
            help="Also compare phrases with pictures: an image–text component in YAML, e.g. "
            "'{type: open_clip, model: ViT-B-32, pretrained: laion2b_s34b_b79k}'."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find what is wrong with a data set's truth: masks, boxes, captions, pictures; worst samples first.

    Every frame is decoded once. Findings are reasons to look, so the exit code is 0 with and without them.
    """
    from benchmarks.audit import auditing, findings
    from benchmarks.audit.page import page
    from benchmarks.disk import replace_text
    from benchmarks.image_text import named_image_text
    from grounding_core.cli.progress import progress_bars
    from grounding_core.errors import DataError

    if Path(name_or_dir).is_dir():
        if data_root is not None or split is not None:
            raise DataError(
                f"{name_or_dir} is a folder: all its splits are audited.",
                "Leave --data-root and --split out.",
            )
        questions = auditing.below(Path(name_or_dir))
    else:
        questions = auditing.named(name_or_dir, split, _root_of(name_or_dir, data_root))
    model = None if image_text is None else named_image_text(image_text)
    with progress_bars() as bars:
        progress = bars(f"Auditing {name_or_dir}")
        audited = auditing.audit(questions, videos=videos, progress=progress, image_text=model)
    findings.write(audited, out)
    samples = {(q.dataset, q.split, q.task, sample.id): sample for q in questions for sample in q.samples}
    replace_text(out / "index.html", page(audited, samples))
    if as_json:
        print((out / "totals.json").read_text(encoding="utf-8").strip())
        return
    _show_totals(findings.totals(audited))
    print(f"Pictures and reasons, worst first: {out / 'index.html'}")


@app.command()
def prepare(
    name: NameArgument,
    out: Annotated[
        Path, typer.Option("--data-root", "--out", help="Folder above the data sets, to write below.")
    ],
    split: Annotated[str | None, typer.Option(help="Split; the data set's default if left out.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of generated sets: seed; the split's own if left out.")
    ] = None,
    videos: Annotated[
        int | None, typer.Option(min=1, help="Of generated sets: how many; the split's own if left out.")
    ] = None,
    decoder: Annotated[
        str | None,
        typer.Option(help="Of sets annotated with boxes: the mask decoder that turns them into masks."),
    ] = None,
) -> None:
    """Make a split of a generated set (one seed, one result), or convert a downloaded one."""
    from grounding_core import datasets
    from grounding_core.cli.progress import progress_bars
    from grounding_core.errors import DataError
    from grounding_core.interfaces.dataset import GeneratedDataset
    from grounding_core.plugins import registry

    found = registry().load("dataset", name)
    chosen = datasets.known_split(name, found, split)
    generated = issubclass(found, GeneratedDataset)
    if generated and decoder is not None:
        raise DataError(f"The data set {name!r} comes with masks.", "Leave --decoder out.")
    if not generated and (seed, videos) != (None, None):
        raise DataError(
            f"The data set {name!r} is read from disk, not generated.", "Leave --seed and --videos out."
        )
    with progress_bars() as bars:
        progress = bars(f"{name} {chosen}")
        if generated:
            found().prepare(out, split=chosen, seed=seed, videos=videos, progress=progress)
        else:
            found(out).prepare(chosen, decoder=decoder, progress=progress)
    print(f"{name} {chosen} is ready below {out}")


def _root_of(name: str, data_root: Path | None) -> Path:
    """The folder above a data set; generated ones have a place in the cache."""
    from grounding_core.datasets import cached_root
    from grounding_core.errors import DataError
    from grounding_core.interfaces.dataset import GeneratedDataset
    from grounding_core.plugins import registry

    found = registry().load("dataset", name)
    if data_root is not None:
        return data_root
    if not issubclass(found, GeneratedDataset):
        raise DataError(
            f"The data set {name!r} is read from disk.", "Name the folder above it with --data-root."
        )
    return cached_root(name, found)


def _show_totals(totals: Sequence[Total]) -> None:
    from rich.console import Console
    from rich.table import Table

    for total in totals:
        title = f"{total.dataset} {total.split} ({total.task})"
        table = Table(title=title, title_justify="left", box=None)
        for heading in ("fault", "samples", "share"):
            table.add_column(heading, justify="left" if heading == "fault" else "right")
        for kind, count in total.kinds.items():
            table.add_row(kind, f"{count:,}", f"{count / total.samples:.1%}")
        table.add_row("any", f"{total.faulty:,}", f"{total.faulty / max(total.samples, 1):.1%}", style="bold")
        Console(highlight=False).print(table)
        print(f"{total.samples:,} samples of {total.videos:,} videos looked at\n")


def _show(console: Console, name: str, report: SplitReport) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{name} {report.split} ({report.task})", title_justify="left", box=None)
    for heading in ("", "path", "holds", "size"):
        table.add_column(heading, overflow="fold")
    wanted: dict[str, list[str]] = {}
    for found in report.parts:
        part = found.part
        if found.size is None:
            wanted.setdefault(part.source, []).append(part.path)
            table.add_row("[red]missing[/red]", escape(part.path), escape(part.holds), "")
        else:
            table.add_row("[green]there[/green]", escape(part.path), escape(part.holds), _bytes(found.size))
    console.print(table)
    for source, paths in wanted.items():
        console.print(f"{', '.join(paths)}: from {source}", style="red", markup=False, highlight=False)
    if report.videos is not None:
        frames = f"{report.readable:,} of them with all frames"
        console.print(f"{report.videos:,} videos, {frames}; {report.samples:,} samples", highlight=False)
    for line in report.faults:
        console.print(line, style="red", markup=False, highlight=False)
    for line in report.differences:
        console.print(f"Note: {line}.", style="yellow", markup=False, highlight=False)
    if report.published.note:
        console.print(f"Note: {report.published.note}.", markup=False, highlight=False)


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _bytes(size: int) -> str:
    value = float(size)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
