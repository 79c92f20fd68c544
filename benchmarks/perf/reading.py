"""``python -m benchmarks.perf.reading``: decoding and resizing in threads against the decoder alone.

Three ways through the same file: the decoder alone; read all frames and then resize them; and the way a mask
decoder reads, where one thread decodes and others resize. Time is on the wall, as threads overlap: run it on
a machine with nothing else to do.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks.perf.measure import Figure, clock, report
from benchmarks.perf.measure import best as best_of
from grounding_core.pixels import IMAGENET_MEAN, IMAGENET_STD, normalise, stretch
from grounding_core.video import Video
from grounding_core.video.ahead import ahead_map

BATCH = 8

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def batches(video: Video, frames: int) -> Iterator[Tensor]:
    """uint8 frames (t, H, W, 3)."""
    pending = []
    for index, frame in video.stream(0, frames):
        pending.append(torch.from_numpy(frame))
        if len(pending) == BATCH or index == frames - 1:
            yield torch.stack(pending)
            pending = []


@app.command()
def measure(
    path: Annotated[Path, typer.Argument(help="A video file.")],
    side: Annotated[int, typer.Option(min=16, help="Side of the resized square.")] = 224,
    frames: Annotated[int, typer.Option(min=BATCH, help="At most so many frames.")] = 300,
    rounds: Annotated[int, typer.Option(min=1, help="The best of so many is taken.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads that resize.")] = 2,
    out: Annotated[Path | None, typer.Option(help="Folder for reading.json.")] = None,
) -> None:
    """Print frames a second of each way."""
    video = Video.open(path)
    count = min(frames, len(video))

    def prepare(batch: Tensor) -> Tensor:
        return normalise(stretch(batch, side), IMAGENET_MEAN, IMAGENET_STD, torch.float32)

    def alone() -> None:
        deque(video.stream(0, count), maxlen=0)

    def apart() -> None:
        whole = torch.from_numpy(np.stack([frame for _, frame in video.stream(0, count)]))
        for batch in torch.split(whole, BATCH):
            prepare(batch)

    def together() -> None:
        deque(ahead_map(prepare, batches(video, count), threads=threads), maxlen=0)

    best = {}
    for way in (alone, apart, together):
        best[way.__name__] = min(_wall(way) for _ in range(rounds))
    height, width = video.size
    sides = {name: f"{count / seconds:.0f} frames/s" for name, seconds in best.items()}
    figures = [
        Figure(
            "decode and resize in threads, of the decoder alone",
            sides["alone"],
            sides["together"],
            best["alone"] / best["together"],
            0.9,
        ),
        Figure(
            "in threads, against read all and then resize",
            sides["apart"],
            sides["together"],
            best["apart"] / best["together"],
        ),
    ]
    frames_of = torch.from_numpy(video.frames(range(BATCH)))
    reads = clock(alone)[0] / count
    resizes = best_of(lambda: prepare(frames_of), rounds) / BATCH
    notes = [
        f"{path.name}, {width}x{height}, {count} frames to {side}x{side}; wall time.",
        f"A frame takes {1e3 * reads:.1f} ms of CPU to decode and {1e3 * resizes:.1f} ms to resize: "
        f"the goal needs {0.9 * (1 + resizes / reads):.1f} free cores.",
    ]
    report("reading", figures, out, notes)


def _wall(way: Callable[[], None]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.reading")
