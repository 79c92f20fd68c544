"""What tests of training share: a small recipe, a short run, and its samples."""

from __future__ import annotations

import json
from pathlib import Path

from small import SMALL

from grounding_core.config import Recipe
from grounding_core.interfaces.dataset import Sample
from grounding_core.plugins import registry
from grounding_core.training.config import LossWeights, TrainConfig

CONFIG = TrainConfig(
    steps=4, videos=2, queries=3, mask_frames=2, lr=1e-3, warmup=2, save_every=2, validate_every=4,
    validate_videos=1, tokenizer_vocabulary=400, losses=LossWeights(visible=0.2),
)  # fmt: skip


def make_samples(root: Path) -> list[Sample]:
    """Five videos of sprites with expressions and captions."""
    registry().load("dataset", "sprites")().prepare(root, split="val", videos=5)
    found = [
        *registry().load("dataset", "mevis")(root).samples("refseg", "val"),
        *registry().load("dataset", "video-gcg")(root).samples("gcg", "val"),
    ]
    return list(found)


def sources(samples: list[Sample]) -> dict[tuple[str, str], list[Sample]]:
    """As the command line hands them over."""
    found: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        task = "gcg" if sample.query.kind == "describe" else "refseg"
        found.setdefault(("sprites", task), []).append(sample)
    return found


def recipe(*overrides: str) -> Recipe:
    return Recipe.load("videoglamm-tiny", [*SMALL, "checkpoint=null", *overrides])


def rows(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
