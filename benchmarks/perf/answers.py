"""``python -m benchmarks.perf.answers``: answers after 3 300 visual tokens, and 16 questions on a video.

The reference's way is stated again here: for every token the encoders see the video anew and the language
model reads the whole sequence without a cache, then one more forward collects the states. Both ways use the
same weights (random: time does not depend on them) and must give the same tokens.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import torch
import typer

from benchmarks.perf.measure import Figure, best, clock, report
from grounding_core.compose import build_composed, plan
from grounding_core.config import VISUAL, Recipe
from grounding_core.device import default_device
from grounding_core.model import GroundingModel
from grounding_core.types import Query

SIZES = (
    "checkpoint=null",
    "image_encoder.image_size=336",
    "image_encoder.patch_size=14",
    "image_adapter.grid=[12,12]",
    "video_encoder.image_size=224",
    "video_encoder.patch_size=14",
    "video_encoder.frames=4",
    "video_encoder.tubelet=1",
    "video_adapter.grid=[8,8]",
    "sampling.frames=16",
    "sampling.fusion=concat",
    "language_model.width=256",
    "language_model.mlp_width=704",
    "language_model.heads=8",
    "language_model.context=4096",
)
"""The published numbers of frames, patches and visual tokens, in front of a language model of width 256."""

GOALS = {32: 26.0, 64: 50.0, 128: 90.0}
QUESTIONS = 16

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def make_model() -> GroundingModel:
    """The tiny recipe's classes at SIZES, with random weights."""
    torch.manual_seed(0)
    return build_composed(plan(Recipe.load("videoglamm-tiny", SIZES)), weights=False).to(default_device())


class Reference:
    """One question after another, no cache, the video encoded anew for each token."""

    def __init__(self, model: GroundingModel, frames: torch.Tensor) -> None:
        self.model = model
        self.frames = frames

    def forward(self, prompt: list[int], ids: list[int]) -> torch.Tensor:
        """Vision and the whole sequence, once: final states (s, dl)."""
        model, lm = self.model, self.model.language_model
        head = [*lm.start_ids, *lm.tokenize(model.prompts.layout.partition(VISUAL)[0])]
        network: Any = lm.network
        embed = network.get_input_embeddings()
        where = model.device
        parts = [model.visual_tokens([self.frames]), embed(torch.tensor([[*prompt, *ids]], device=where))]
        if head:
            parts.insert(0, embed(torch.tensor([head], device=where)))
        states: torch.Tensor = network.get_decoder()(
            inputs_embeds=torch.cat(parts, 1), use_cache=False
        ).last_hidden_state[0]
        return states

    @torch.inference_mode()
    def answer(self, prompt: list[int], count: int) -> list[int]:
        """``count`` tokens and the extra forward."""
        network: Any = self.model.language_model.network
        ids: list[int] = []
        for _ in range(count):
            ids.append(int(network.get_output_embeddings()(self.forward(prompt, ids)[-1]).argmax()))
        self.forward(prompt, ids)
        return ids


@app.command()
def measure(
    reference: Annotated[
        int, typer.Option(min=1, help="Tokens that the reference's way makes; the rest is extrapolated.")
    ] = 128,
    rounds: Annotated[int, typer.Option(min=1, help="The best of so many is taken for our side.")] = 2,
    tokens: Annotated[int, typer.Option(min=1, help="Length of the 16 answers.")] = 32,
    out: Annotated[Path | None, typer.Option(help="Folder for answers.json.")] = None,
) -> None:
    """Print the time of both ways and their ratio."""
    model = make_model()
    lm = model.language_model
    frames = torch.randint(0, 255, (16, 360, 640, 3), dtype=torch.uint8)
    questions = [lm.tokenize(model.question(Query(f"the cat number {i}"))) for i in range(QUESTIONS)]
    # Nothing ends an answer, so that lengths are what they should be.
    with torch.inference_mode(), patch.object(type(lm), "end_ids", frozenset()):
        figures, notes = _one_answer(model, frames, questions[0], reference, rounds)
        figures += _many(model, frames, questions, tokens, rounds)
    report("answers", figures, out, notes)


def _one_answer(
    model: GroundingModel, frames: torch.Tensor, question: list[int], tokens: int, rounds: int
) -> tuple[list[Figure], list[str]]:
    lm = model.language_model
    prefix, visual = model.read([frames])  # first calls are slower
    slow, ids = clock(lambda: Reference(model, frames).answer(question, tokens))
    a_forward = slow / (tokens + 1)
    read = best(lambda: model.read([frames]), rounds)
    figures: list[Figure] = []

    def answer(count: int) -> list[int]:
        return list(lm.generate(prefix, [question], max_new_tokens=count).ids[0])

    for count, goal in GOALS.items():
        found = answer(count)
        fast = best(partial(answer, count), rounds)
        same = min(count, tokens)
        assert ids[:same] == found[:same], "both ways must give the same answer"
        slow = a_forward * (count + 1)
        told = f"{slow:.1f} s" + (" (extrapolated)" if count != tokens else "")
        side = f"{read + fast:.2f} s = {read:.2f} + {fast:.2f}"
        figures.append(Figure(f"answer of {count} tokens", told, side, slow / (read + fast), goal))
    notes = [
        f"{visual.shape[1]} visual tokens. The reference: {a_forward:.2f} s a forward, one a token and one; "
        f"run for {tokens} tokens, the rest extrapolated. Ours: reading the video, then the answer."
    ]
    return figures, notes


def _many(
    model: GroundingModel, frames: torch.Tensor, questions: list[list[int]], tokens: int, rounds: int
) -> list[Figure]:
    lm = model.language_model
    prefix, _ = model.read([frames])

    def decode(prompts: list[list[int]]) -> list[list[int]]:
        return lm.generate(prefix, prompts, max_new_tokens=tokens).ids

    assert decode(questions)[:2] == [decode([question])[0] for question in questions[:2]]
    read = best(lambda: model.read([frames]), rounds)
    apart = best(lambda: [decode([question]) for question in questions], rounds)
    together = best(lambda: decode(questions), rounds)
    count = len(questions)
    bound = read + apart / count + (count - 1) * apart / count
    return [
        Figure(
            f"{count} questions, {tokens} tokens each, against one question and {count - 1} decodes",
            f"{bound:.2f} s",
            f"{read + together:.2f} s",
            (read + together) / bound,
            1.5,
            atleast=False,
        ),
        Figure(
            f"the same against {count} encodings",
            f"{count * read + apart:.2f} s",
            f"{read + together:.2f} s",
            (count * read + apart) / (read + together),
        ),
        Figure(
            f"{count} questions decoded together",
            f"{apart:.2f} s one after another",
            f"{together:.2f} s",
            apart / together,
            4.0,
        ),
    ]


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.answers")
