"""``python -m benchmarks.perf.score_memory``: peak memory of scoring, by number of samples.

Each size is scored in a process of its own: long mask tracks, read from a real predictions file, against
truths that are made when they are asked for, then a report. What is printed are the highest resident sizes
of that process and of the largest of its workers.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.report.build import build
from benchmarks.scores import MODEL, score_unit
from benchmarks.store import PredictionStore
from benchmarks.tasks.base import load_task
from benchmarks.units import Unit
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.masks import MaskTrack
from grounding_core.serial import to_json
from grounding_core.types import GroundedText, Query
from grounding_core.video import Video

SIZE = (120, 160)
DIFFERENT_FRAMES = 10
"""Frames of a track that the prediction has wrong; the others are equal, which costs little time."""

SAMPLES_A_VIDEO = 4

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@lru_cache(maxsize=2)
def _track(frames: int, shift: int) -> MaskTrack:
    masks = np.zeros((frames, *SIZE), dtype=bool)
    for frame in range(frames):
        left = 10 + frame % 100
        masks[frame, 30:80, left + (shift if frame < DIFFERENT_FRAMES else 0) : left + 40] = True
    return MaskTrack.from_masks(0, masks)


def _truth(frames: int) -> Truth:
    # A new object for every sample, as a reader makes it.
    return Truth(tracks=(MaskTrack(0, SIZE, tuple(_track(frames, 0).frames)),))


def _no_video() -> Video:
    raise DataError("There is no video.", "Scoring needs none.")


def _unit(samples: int, frames: int) -> Unit:
    found = [
        Sample(
            id=f"video{number // SAMPLES_A_VIDEO:07d}/{number % SAMPLES_A_VIDEO}",
            video_id=f"video{number // SAMPLES_A_VIDEO:07d}",
            query=Query("the box"),
            open_video=_no_video,
            load_truth=partial(_truth, frames),
        )
        for number in range(samples)
    ]
    return Unit("refseg", "synthetic", "test", found, found, data="0", licence="none", truth=True)


def _predictions(folder: Path, unit: Unit, frames: int) -> PredictionStore:
    """A predictions file as a run writes it, less the wait for the disk after every line."""
    store = PredictionStore(folder, "synthetic", {"model": "synthetic"})
    with store:
        pass
    answer = to_json(GroundedText("the box", (), (_track(frames, 5),)))
    rest = json.dumps({"seconds": 0.1, **answer, "error": None})[1:]
    with store.path.open("a", encoding="utf-8") as handle:
        for sample in unit.samples:
            handle.write(f'{{"id": {json.dumps(sample.id)}, {rest}\n')
    return store


def score_once(samples: int, frames: int, workers: int, folder: Path) -> dict[str, Any]:
    """Score in this process and its workers.

    Returns:
        ``own`` and ``worker`` peak resident bytes, ``file`` bytes of predictions, ``seconds``.
    """
    unit = _unit(samples, frames)
    store = _predictions(folder, unit, frames)
    start = time.perf_counter()
    scores = score_unit(unit, load_task("refseg", folder), {MODEL: store}, lambda: None, workers)
    build("synthetic", {}, {}, [scores])
    peaks = {
        key: resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        for key, who in (("own", resource.RUSAGE_SELF), ("worker", resource.RUSAGE_CHILDREN))
    }
    return {**peaks, "file": store.path.stat().st_size, "seconds": time.perf_counter() - start}


def measure_apart(samples: int, frames: int, workers: int) -> dict[str, Any]:
    """`score_once` in a fresh process, whose peak is its own."""
    folder = tempfile.mkdtemp()
    code = (
        "import json, pathlib; from benchmarks.perf.score_memory import score_once; "
        f"print(json.dumps(score_once({samples}, {frames}, {workers}, pathlib.Path({folder!r}))))"
    )
    try:
        # A file rather than -c text: workers started afresh import the main module.
        script = Path(folder) / "measure.py"
        script.write_text(f"if __name__ == '__main__':\n    {code}\n", encoding="utf-8")
        ran = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, Any] = json.loads(ran.stdout)
    finally:
        shutil.rmtree(folder)
    return found


@app.command()
def measure(
    samples: Annotated[str, typer.Option(help="Numbers of samples, comma-separated.")] = "1000,4000,16000",
    frames: Annotated[int, typer.Option(min=DIFFERENT_FRAMES, help="Frames of a track.")] = 1000,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Print peak memory for each number of samples."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("samples", "predictions MB", "peak MB", "peak of a worker MB", "samples a second"):
        table.add_column(name, justify="right", no_wrap=True)
    for count in (int(part) for part in samples.split(",")):
        found = measure_apart(count, frames, workers)
        sizes = [f"{found[key] / 1e6:.0f}" for key in ("file", "own", "worker")]
        table.add_row(str(count), *sizes, f"{count / found['seconds']:.0f}")
    Console().print(table)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.score_memory")
