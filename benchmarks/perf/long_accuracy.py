"""``python -m benchmarks.perf.long_accuracy``: ten minutes answered as well as two seconds?

A generated video is played forwards and backwards until it has the wanted length. Its objects come, go and
pass each other again and again, and what is said of their looks stays true. The long video is answered in
pieces whose objects keep their identity; J and F are averaged over all frames and questions of both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from benchmarks.finish import progress
from benchmarks.metrics.refseg import frame_scores
from benchmarks.perf.measure import Figure, report
from benchmarks.units import find_units
from grounding_core import DEFAULT_RECIPE
from grounding_core.chunked import Chunked, ChunkedConfig
from grounding_core.interfaces.dataset import Sample
from grounding_core.interfaces.grounder import opened
from grounding_core.masks import MaskTrack, decode, unite
from grounding_core.types import GroundedText

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def there_and_back(frames: int, length: int) -> list[int]:
    """Indices of a video of ``frames`` frames, played forwards and backwards up to ``length``."""
    turn = [*range(frames), *range(frames - 2, 0, -1)]
    return [turn[index % len(turn)] for index in range(length)]


def j_and_f(answer: GroundedText, truth: MaskTrack, indices: list[int]) -> float:
    """Mean of J and F over the frames; frame ``i`` of the answer shows frame ``indices[i]`` of the truth."""
    tracks = list(answer.tracks)
    found = unite(tracks).frames if tracks else (None,) * len(indices)
    known: dict[tuple[bytes | None, bytes | None], float] = {}
    total = 0.0
    for counts, index in zip(found, indices, strict=True):
        pair = (truth.frames[index], counts)
        if pair not in known:
            expected, answered = (decode(part, truth.size) for part in pair)
            known[pair] = float(np.mean(frame_scores(expected, answered)))
        total += known[pair]
    return total / len(indices)


@app.command()
def measure(
    recipe: Annotated[str, typer.Option(help="Who answers.")] = DEFAULT_RECIPE,
    split: Annotated[str, typer.Option(help="Of the generated data set `sprites`.")] = "val",
    videos: Annotated[int, typer.Option(min=1, help="So many of its videos.")] = 8,
    minutes: Annotated[float, typer.Option(help="Length of the long ones.")] = 10.0,
    fps: Annotated[int, typer.Option(min=1, max=8, help="So many of the long ones' 8 frames a second.")] = 8,
    kinds: Annotated[str, typer.Option(help="Kinds of expressions.")] = "colour,category,colour_category",
    length: Annotated[int, typer.Option(min=2, help="Frames of a piece.")] = 64,
    out: Annotated[Path | None, typer.Option(help="Folder for long_accuracy.json.")] = None,
) -> None:
    """Print J&F of short and long videos, and the difference in points."""
    with progress(Console(stderr=True)) as bars:
        (unit,) = find_units(
            ["refseg"], [f"sprites:{split}"], data_root=None, preparing=lambda label: lambda done, total: None
        )
        wanted = set(kinds.split(","))
        groups: dict[str, list[Sample]] = {}
        for sample in unit.samples:
            if sample.tags.get("kind") in wanted:
                groups.setdefault(sample.video_id, []).append(sample)
        chunked = Chunked(ChunkedConfig(recipe=recipe, length=length))
        short, long = [], []
        bar = bars.add_task("Videos", total=min(videos, len(groups)))
        for samples in list(groups.values())[:videos]:
            video, queries = samples[0].open_video(), [sample.query for sample in samples]
            indices = there_and_back(len(video), round(minutes * 60 * 8))[:: 8 // fps]
            brief = chunked.model.ground(opened(chunked.model, video), queries)
            whole = chunked.ground(video.pick(indices), queries)
            for sample, one, other in zip(samples, brief, whole, strict=True):
                truth = unite(sample.load_truth().tracks)
                short.append(j_and_f(one, truth, list(range(len(video)))))
                long.append(j_and_f(other, truth, indices))
            bars.advance(bar)
    below = 100 * (float(np.mean(short)) - float(np.mean(long)))
    figure = Figure(
        f"points of J&F lost over {minutes:g} minutes",
        f"{100 * np.mean(long):.1f} (long)",
        f"{100 * np.mean(short):.1f} (short)",
        below,
        5.0,
        atleast=False,
    )
    asked = f"{len(short)} questions on {min(videos, len(groups))} videos"
    notes = [f"{recipe}, {asked}, {fps} frames a second, pieces of {length} frames."]
    report("long_accuracy", [figure], out, notes)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.long_accuracy")
