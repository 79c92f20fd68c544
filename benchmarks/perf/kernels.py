"""``python -m benchmarks.perf.kernels``: compiled code, half precision, memory layouts, CUDA graphs.

Each is measured against what is used. Variants compute the mask decoder's image features, which take most of
the time; a CUDA graph makes the tokens of an answer. What helps on a machine is worth its option there; what
does not stays off.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import torch
import typer

from benchmarks.perf.measure import Figure, best, clock, report
from grounding_core.compose import build_composed, plan
from grounding_core.config import Recipe
from grounding_core.device import default_device
from grounding_core.interfaces.language_model import LanguageModel

TOKENS = 64
VARIANTS = ("channels-last", "bf16", "compile")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def variant(name: str, decoder: Any) -> Callable[[torch.Tensor], Any]:
    """The mask decoder's image features in one variant."""
    if name == "channels-last":
        other = copy.deepcopy(decoder).to(memory_format=torch.channels_last)
        return lambda pixels: other.features_of(pixels.contiguous(memory_format=torch.channels_last))
    if name == "bf16":
        half = copy.deepcopy(decoder).to(torch.bfloat16)
        return lambda pixels: half.features_of(pixels.to(torch.bfloat16))
    compiled: Callable[[torch.Tensor], Any] = torch.compile(decoder.features_of)
    return compiled


@app.command()
def measure(
    recipe: Annotated[str, typer.Option(help="Whose parts; random weights do.")] = "videoglamm-tiny",
    variants: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(VARIANTS),
    frames: Annotated[int, typer.Option(min=1, help="Frames at once.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="The best of so many is taken.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Folder for kernels.json.")] = None,
) -> None:
    """Print how much faster each variant is; below 1 it is slower."""
    torch.manual_seed(0)
    model = build_composed(plan(Recipe.load(recipe, ["checkpoint=null"])), weights=False).to(default_device())
    decoder: Any = model.mask_decoder
    pixels = torch.randn(frames, 3, decoder.size, decoder.size, device=model.device)
    figures, notes = [], []
    with torch.inference_mode():
        decoder.features_of(pixels)
        plain = best(lambda: decoder.features_of(pixels), rounds)
        for name in (part.strip() for part in variants.split(",")):
            run = variant(name, decoder)
            first, _ = clock(partial(run, pixels))
            fast = best(partial(run, pixels), rounds)
            figures.append(Figure(f"image features, {name}", f"{plain:.3f} s", f"{fast:.3f} s", plain / fast))
            if name == "compile":
                notes.append(f"Compiling took {first:.0f} s.")
        one = best(lambda: [decoder.features_of(frame[None]) for frame in pixels], rounds)
        figures.append(
            Figure(f"image features, {frames} frames at once", f"{one:.3f} s", f"{plain:.3f} s", one / plain)
        )
        figures.append(_recorded(model.language_model, rounds))
    report("kernels", figures, out, notes)


def _recorded(lm: LanguageModel, rounds: int) -> Figure:
    """Tokens of one answer, asked for one by one, against steps that are recorded where there is a GPU."""
    prefix = lm.prefix([lm.tokenize("a video " * 100)])
    question = [lm.tokenize("what moves?")]
    # Nothing ends the answer.
    with patch.object(type(lm), "end_ids", frozenset()):
        answer = partial(lm.generate, prefix, question, max_new_tokens=TOKENS)
        plain = best(answer, rounds)
        lm.use_cuda_graphs()
        answer()
        fast = best(answer, rounds)
    how = "CUDA graph" if default_device() != "cpu" else "fixed shapes, no GPU to record on"
    return Figure(f"answer of {TOKENS} tokens, {how}", f"{plain:.3f} s", f"{fast:.3f} s", plain / fast)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.kernels")
