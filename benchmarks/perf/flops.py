"""``python -m benchmarks.perf.flops``: how much arithmetic each stage of a recipe takes, without doing it.

Modules run on PyTorch's meta device, where tensors have shapes and no values: the published sizes cost no
memory, and only matrix products, convolutions and attention are counted (2 a multiply-add).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from grounding_core.compose import Plan, neighbours, plan
from grounding_core.config import Recipe

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def count(work: Callable[[], Any]) -> float:
    """Floating-point operations of a call."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return float(counter.get_total_flops())


def stages(planned: Plan) -> dict[str, float]:
    """Operations by stage: of a whole video, a token, a frame, or an object in a frame."""
    found: dict[str, float] = {}
    sampling = planned.recipe.sampling
    assert sampling is not None
    with torch.device("meta"):
        for branch in ("image", "video"):
            role = f"{branch}_encoder"
            if role not in planned.parts:
                continue
            part = planned.parts[role]
            encoder = part.component(part.config)
            side = part.config.image_size
            pixels = torch.empty(1, sampling.frames, 3, side, side)
            found[f"{branch} encoder, a video"] = count(partial(encoder.features, pixels))
        language = planned.parts["language_model"]
        network = language.component.outline(
            language.config, **neighbours(planned, "language_model")
        ).network.eval()
        visual = planned.visual_length
        width = planned.specs["language_model"].width
        prefix = torch.empty(1, visual, width)
        decoder = network.get_decoder()
        mask = torch.empty(1, 1, visual, visual)  # transformers would look at values to make its own
        found["prefill, a video"] = count(
            lambda: decoder(inputs_embeds=prefix, attention_mask=mask, use_cache=False)
        )
        weights = sum(parameter.numel() for parameter in network.parameters())
        found["question or answer, a token"] = 2.0 * weights
        found |= _tracker(planned)
    return found


@dataclass(frozen=True)
class Still:
    """A scene of so many frames that all look the same."""

    video: range
    features: Any

    def stream(self, *_: Any, **__: Any) -> Iterator[Any]:
        """One frame at a time."""
        return iter([self.features] * len(self.video))


def _tracker(planned: Plan) -> dict[str, float]:
    """Image features of a frame, and what one object adds to it once memory is full."""
    part = planned.parts["mask_decoder"]
    decoder = part.component(part.config).eval()
    pixels = torch.empty(1, 3, decoder.size, decoder.size)
    features = decoder.features_of(pixels)
    prompts = torch.empty(1, 1, decoder.spec(part.config).prompt_width)
    attends = decoder.network.memory_attention
    inner, last = attends.forward, {"flops": 0.0}

    def counted(*args: Any, **kwargs: Any) -> Any:
        result: list[Any] = []
        last["flops"] = count(lambda: result.append(inner(*args, **kwargs)))
        return result[0]

    def follow(frames: int) -> float:
        return count(lambda: deque(decoder.follow(Still(range(frames), features), prompts), maxlen=0))

    full = decoder.network.num_maskmem + 16
    each = follow(full + 1) - follow(full)
    object.__setattr__(attends, "forward", counted)
    follow(full)
    return {
        "image features, a frame": count(lambda: decoder.features_of(pixels)),
        "an object in a frame, memory full": each,
        "of which memory attention": last["flops"],
    }


@app.command()
def measure(
    recipe: Annotated[str, typer.Option(help="What to count.")] = "videoglamm",
    out: Annotated[Path | None, typer.Option(help="Folder for flops.json.")] = None,
) -> None:
    """Print the operations of each stage."""
    planned = plan(Recipe.load(recipe, ["checkpoint=null", "mask_decoder.mode=memory"]))
    found = stages(planned)
    table = Table("", "GFLOP", box=None, padding=(0, 2, 0, 0))
    for name, flops in found.items():
        table.add_row(name, f"{flops / 1e9:,.1f}")
    Console().print(table)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "flops.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.flops")
