"""``python -m benchmarks.perf.memory``: peak memory of answering about ever longer videos.

Each length is a video file of its own, made here, and answered in a process of its own, whose peak is
printed.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.perf.measure import Figure, report
from grounding_core import DEFAULT_RECIPE
from grounding_core.cli.options import SetOption

SIZE = (96, 128)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def write_video(path: Path, frames: int) -> None:
    """A disc that wanders over a background, as an H.264 file."""
    import av

    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"preset": "ultrafast"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            centre = 48 + 30 * np.sin(index / 40), 64 + 45 * np.cos(index / 55)
            pixels = np.full((*SIZE, 3), 90, np.uint8)
            pixels[np.hypot(y - centre[0], x - centre[1]) < 18] = (220, 40, 40)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def answer_once(path: str, recipe: str, overrides: list[str]) -> dict[str, float]:
    """Answer in this process: peak resident bytes, and the masks found in all frames."""
    import torch

    from grounding_core import load
    from grounding_core.types import Query
    from grounding_core.video import Video

    torch.set_num_threads(1)
    model, video = load(recipe, overrides=overrides), Video.open(path)
    (answer,) = model.ground(model.encode(video), [Query("the red balloon")])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    masks = sum(mask is not None for track in answer.tracks for mask in track.frames)
    return {"peak": peak, "masks": masks}


@app.command()
def measure(
    frames: Annotated[str, typer.Option(help="Lengths, comma-separated, shortest first.")] = "1000,10000",
    recipe: Annotated[str, typer.Option(help="Who answers.")] = DEFAULT_RECIPE,
    overrides: SetOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for memory.json.")] = None,
) -> None:
    """Print the peak of each length over that of the shortest."""
    peaks: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (int(part) for part in frames.split(",")):
            path = Path(folder) / f"{count}.mp4"
            write_video(path, count)
            call = f"answer_once({str(path)!r}, {recipe!r}, {overrides or []!r})"
            code = f"import json; from benchmarks.perf.memory import answer_once; print(json.dumps({call}))"
            ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
            peaks[count] = json.loads(ran.stdout.splitlines()[-1])
    least = min(peaks)
    figures = [
        Figure(
            f"peak memory, {count} frames against {least}",
            f"{found['peak'] / 1e6:.0f} MB",
            f"{peaks[least]['peak'] / 1e6:.0f} MB",
            found["peak"] / peaks[least]["peak"],
            1.05,
            atleast=False,
        )
        for count, found in peaks.items()
        if count != least
    ]
    masks = ", ".join(f"{found['masks']:.0f} in {count} frames" for count, found in peaks.items())
    report("memory", figures, out, [f"{recipe}, {SIZE[1]}x{SIZE[0]} pixels; masks: {masks}."])


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.memory")
