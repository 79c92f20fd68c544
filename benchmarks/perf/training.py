"""``python -m benchmarks.perf.training``: gradients of many questions that share a video, or read it alone.

The published training code reads the video's tokens once for each of its questions. Both ways use the same
weights and must give the same loss.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor
from torch.nn import functional as F

from benchmarks.perf.answers import make_model
from benchmarks.perf.measure import Figure, best, report
from grounding_core.device import default_device
from grounding_core.interfaces.language_model import LanguageModel

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def loss_of(lm: LanguageModel, visual: Tensor, rows: Tensor, ids: Tensor) -> Tensor:
    """Of the rows' tokens after their videos."""
    learned = torch.ones_like(ids, dtype=torch.bool)
    learned[:, 0] = False
    logits, _ = lm.teach(lm.prefix([lm.start_ids, visual]), rows, ids, learned)
    return F.cross_entropy(logits, ids[learned])


def gradients(loss: Callable[[], Tensor]) -> None:
    """Forward and backward."""
    torch.autograd.backward(loss())


def read(loss: Callable[[], Tensor]) -> tuple[float, float]:
    """The loss, and the MB that its forward pass keeps for the backward pass, weights included."""
    kept: dict[int, int] = {}

    def weigh(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
        value = loss()
    return value.item(), sum(kept.values()) / 2**20


@app.command()
def measure(
    questions: Annotated[int, typer.Option(min=1, help="About one video.")] = 8,
    tokens: Annotated[int, typer.Option(min=2, help="Of a question and its answer together.")] = 30,
    rounds: Annotated[int, typer.Option(min=1, help="The best of so many is taken.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder for training.json.")] = None,
) -> None:
    """Print seconds and memory of both ways."""
    model = make_model()
    lm = model.language_model.train()
    specs, count = model.plan.specs["language_model"], sum(model.plan.visual_tokens.values())
    visual = torch.randn(1, count, specs.width, device=default_device())
    ids = torch.randint(0, len(lm.embeddings()), (questions, tokens), device=default_device())
    alone = partial(
        loss_of, lm, visual.expand(questions, -1, -1), torch.arange(questions).to(default_device()), ids
    )
    shared = partial(loss_of, lm, visual, torch.zeros(questions).long().to(default_device()), ids)
    (one, large), (same, small) = read(alone), read(shared)
    assert abs(one - same) < 1e-4, "both ways must give the same loss"
    slow, fast = (best(partial(gradients, way), rounds) for way in (alone, shared))
    what = f"{questions} questions of {tokens} tokens after {count} visual ones"
    figures = [
        Figure(f"gradients of {what}", f"{slow:.2f} s", f"{fast:.2f} s", slow / fast),
        Figure("kept for the backward pass", f"{large:.0f} MB", f"{small:.0f} MB", large / small),
    ]
    report("training", figures, out)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.training")
