"""``python -m benchmarks.perf.report_size``: size of report.html's samples, and time to write them.

Samples of a data set are put on a page with their truth as answers: as many masks as a perfect model gives.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.report.browser import MEGABYTES, Answers, Column, Shelf, data, place
from benchmarks.report.page import opening
from benchmarks.store import Prediction
from benchmarks.units import find_units
from grounding_core.interfaces.dataset import Sample
from grounding_core.types import GroundedText

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class _Truths(Mapping[str, Prediction]):
    """The truth of each sample, as if a model had said it."""

    def __init__(self, samples: Mapping[str, Sample]) -> None:
        self._samples = samples

    def __getitem__(self, id: str) -> Prediction:
        return Prediction(id, GroundedText("It is.", (), self._samples[id].load_truth().tracks), 0.0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._samples)

    def __len__(self) -> int:
        return len(self._samples)


@app.command()
def measure(
    samples: Annotated[str, typer.Option(help="Numbers of samples, comma-separated.")] = "60,5000",
    dataset: Annotated[str, typer.Option(help="NAME or NAME:SPLIT, of referring segmentation.")] = "sprites",
    data_root: Annotated[Path | None, typer.Option(help="Folder above the data sets.")] = None,
    report_mb: Annotated[int, typer.Option(help="Room for films, as of a run.")] = MEGABYTES,
    out: Annotated[Path | None, typer.Option(help="Folder to keep the pages in.")] = None,
) -> None:
    """Write a page for each number of samples and print what it took."""
    (unit,) = find_units(["refseg"], [dataset], data_root=data_root, preparing=lambda _: lambda *_: None)
    table = Table("samples", "videos", "MB", "seconds", "CPU seconds", box=None)
    for count in map(int, samples.split(",")):
        chosen = list(unit.samples)[:count]
        known = {sample.id: sample for sample in chosen}
        column = Column("model.jf", "J&F", True, [number / count for number in range(len(chosen))])
        shelf = Shelf(
            "r0", chosen, [Answers("answer", _Truths(known), {})], [column], {id: {} for id in known}
        )
        with tempfile.TemporaryDirectory() as folder:
            page = (out or Path(folder)) / f"{len(chosen)}.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            began, busy = time.perf_counter(), os.times()
            with page.open("w", encoding="utf-8") as file:
                file.write(f"{opening('samples')}{place(shelf, dataset)}</main>")
                file.writelines(data([shelf], report_mb))
                file.write("</body></html>\n")
            now = os.times()
            videos = len({sample.video_id for sample in chosen})
            table.add_row(
                str(len(chosen)),
                str(videos),
                f"{page.stat().st_size / 1e6:.1f}",
                f"{time.perf_counter() - began:.0f}",
                f"{now.user + now.system - busy.user - busy.system:.0f}",
            )
    Console().print(table)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.report_size")
