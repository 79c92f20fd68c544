"""``python -m benchmarks.perf.reading``: decoding and resizing in threads against the decoder alone.

Ways through the same file: the decoder alone; read all frames and then resize them; and the way a mask
decoder reads, where one thread decodes and others resize. They are measured for each way of resizing: that
of transformers' image processors, and PIL's, which reference pipelines have. Time is on the wall, as threads
overlap: run it on a machine with nothing else to do.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from torch import Tensor

from benchmarks.perf.measure import Figure, report
from benchmarks.perf.measure import best as best_of
from grounding_core.pixels import IMAGENET_MEAN, IMAGENET_STD, normalise, resize, resize_pil
from grounding_core.scene import one_by_one
from grounding_core.video import Video
from grounding_core.video.ahead import ahead_map

BATCH = 8

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def resize_torch(batch: Tensor, side: int) -> Tensor:
    """As `grounding-sam`'s decoders and SigLIP's processor do it."""
    return resize(batch, (side, side), "bicubic")


def resize_in_pil(batch: Tensor, side: int) -> Tensor:
    """As VideoGLaMM's mask decoder does it, whose pixels are the published code's to the bit."""
    return resize_pil(batch, (side, side), Image.Resampling.BILINEAR)


def scaled_by_ffmpeg(path: Path, side: int, frames: int) -> None:
    """FFmpeg scales while it turns YUV into RGB. No image processor has its pixels: not used."""
    import av
    from av.video.reformatter import VideoReformatter

    scaler = VideoReformatter()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in islice(container.decode(stream), frames):
            scaler.reformat(frame, side, side, "rgb24", interpolation="BICUBIC").to_ndarray()


WAYS = {"PyTorch, bicubic": resize_torch, "PIL, bilinear": resize_in_pil}


@app.command()
def measure(
    path: Annotated[Path, typer.Argument(help="A video file.")],
    side: Annotated[int, typer.Option(min=16, help="Side of the resized square.")] = 224,
    frames: Annotated[int, typer.Option(min=BATCH, help="At most so many frames.")] = 300,
    rounds: Annotated[int, typer.Option(min=1, help="The best of so many is taken.")] = 3,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads that resize; default: as mask decoders have.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for reading.json.")] = None,
) -> None:
    """Print frames a second of each way."""
    video = Video.open(path)
    count = min(frames, len(video))
    height, width = video.size

    def alone() -> None:
        deque(video.stream(0, count), maxlen=0)

    some = torch.from_numpy(video.frames(range(BATCH)))
    reads = best_of(alone, rounds) / count
    scales = best_of(lambda: scaled_by_ffmpeg(path, side, count), rounds) / count
    figures = []
    notes = [
        f"{path.name}, {width}x{height}, {count} frames to {side}x{side}; wall time.",
        f"CPU time of a frame: {1e3 * reads:.2f} ms to decode; {1e3 * scales:.2f} ms if FFmpeg scales too.",
    ]
    for name, resized in WAYS.items():
        prepare = partial(_prepared, resized, side)

        def apart(prepare: Callable[[Tensor], Tensor] = prepare) -> None:
            whole = torch.from_numpy(np.stack([frame for _, frame in video.stream(0, count)]))
            for batch in torch.split(whole, BATCH):
                prepare(batch)

        def together(prepare: Callable[[Tensor], Tensor] = prepare) -> None:
            deque(ahead_map(prepare, one_by_one(video, stop=count), threads=threads, size=BATCH), maxlen=0)

        # In turn, so that others on the machine disturb all alike.
        timed = [[_wall(way) for way in (alone, apart, together)] for _ in range(rounds)]
        walls = np.min(timed, axis=0).tolist()
        rates = [f"{count / seconds:.0f} frames/s" for seconds in walls]
        figures += [
            Figure(f"{name}, of the decoder alone", rates[0], rates[2], walls[0] / walls[2], 0.9),
            Figure(f"{name}, against read then resize", rates[1], rates[2], walls[1] / walls[2]),
        ]
        takes = best_of(partial(prepare, some), rounds) / BATCH
        whole = best_of(together, rounds) / count
        notes.append(
            f"{name}: {1e3 * takes:.2f} ms to prepare, {1e3 * whole:.2f} ms in all with threads: "
            f"0.9 of the decoder alone needs {0.9 * whole / reads:.1f} free cores."
        )
    report("reading", figures, out, notes)


def _prepared(resized: Callable[[Tensor, int], Tensor], side: int, batch: Tensor) -> Tensor:
    return normalise(resized(batch, side), IMAGENET_MEAN, IMAGENET_STD, torch.float32)


def _wall(way: Callable[[], None]) -> float:
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.reading")
