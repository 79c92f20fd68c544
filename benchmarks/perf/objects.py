"""``python -m benchmarks.perf.objects``: what more objects in a video cost the mask decoder.

The reference follows each object in a pass of its own. Here all share the image features and one batch.
Weights are random: time does not depend on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.perf.measure import Figure, clock, report
from grounding_core.compose import plan
from grounding_core.config import Recipe
from grounding_core.device import default_device
from grounding_core.video import Video

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass
class Spent:
    """Seconds in a module."""

    seconds: float = 0.0


@contextmanager
def timed(owner: Any, name: str) -> Iterator[Spent]:
    """Seconds spent in one of an object's callables."""
    spent, inner = Spent(), getattr(owner, name)

    def outer(*args: Any, **kwargs: Any) -> Any:
        seconds, result = clock(lambda: inner(*args, **kwargs))
        spent.seconds += seconds
        return result

    object.__setattr__(owner, name, outer)
    try:
        yield spent
    finally:
        object.__delattr__(owner, name)


def _exhaust(decoder: Any, video: Video, prompts: torch.Tensor) -> None:
    deque(decoder.track(decoder.open(video), prompts), maxlen=0)


@torch.inference_mode()
def cost(decoder: Any, video: Video, objects: int) -> tuple[float, float, float]:
    """Seconds of one pass: in all, in memory attention, in image features."""
    prompts = torch.randn(objects, 1, decoder.spec(decoder.config).prompt_width, device=default_device())
    run: Callable[[], Any] = partial(_exhaust, decoder, video, prompts)
    with (
        timed(decoder.network.memory_attention, "forward") as attention,
        timed(decoder, "features_of") as features,
    ):
        whole, _ = clock(run)
    return whole, attention.seconds, features.seconds


@app.command()
def measure(
    recipe: Annotated[str, typer.Option(help="Whose mask decoder; videoglamm has Hiera-L.")] = "videoglamm",
    frames: Annotated[int, typer.Option(min=2, help="Length of the video.")] = 4,
    objects: Annotated[int, typer.Option(min=2, help="How many objects.")] = 8,
    out: Annotated[Path | None, typer.Option(help="Folder for the figures as JSON.")] = None,
) -> None:
    """Print the cost of several objects over the cost of one, and over as many passes."""
    options = ["checkpoint=null", "mask_decoder.mode=memory", "mask_decoder.batch=1"]
    planned = plan(Recipe.load(recipe, options))
    torch.manual_seed(0)
    decoder: Any = planned.parts["mask_decoder"].component(planned.parts["mask_decoder"].config)
    decoder = decoder.to(default_device()).eval()
    rng = np.random.default_rng(0)
    video = Video.open(rng.integers(0, 255, (frames, 360, 640, 3), dtype=np.uint8))
    cost(decoder, Video.open(video.frames([0])), 1)  # first calls are slower
    one, one_attention, one_features = cost(decoder, video, 1)
    many, many_attention, _ = cost(decoder, video, objects)
    figures = [
        Figure(
            f"{objects} objects against 1, outside memory attention",
            f"{many - many_attention:.2f} s",
            f"{one - one_attention:.2f} s",
            (many - many_attention) / (one - one_attention),
            2.0,
            atleast=False,
        ),
        Figure(
            f"{objects} passes against one for {objects} objects",
            f"{objects * one:.2f} s",
            f"{many:.2f} s",
            objects * one / many,
        ),
        Figure(
            "image features, share of the branch with 1 object",
            f"{one:.2f} s",
            f"{one_features:.2f} s",
            one_features / one,
        ),
    ]
    notes = [f"{recipe}, {frames} frames; memory attention {one_attention:.2f} s and {many_attention:.2f} s."]
    report(f"objects-{planned.recipe.name}", figures, out, notes)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.objects")
