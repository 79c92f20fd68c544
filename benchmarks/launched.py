"""Predicting in several processes of one machine that torchrun or accelerate has launched.

They share the videos through files of the run folder: who makes a claim's file first takes the video, so
that nobody waits for a slow neighbour. Each writes a store of its own; the first process gathers them at the
end, or when the same command runs again after a crash.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.predict import by_video, predict
from benchmarks.predictors import RecipePredictor
from benchmarks.store import PredictionStore
from benchmarks.units import Unit
from grounding_core.interfaces.dataset import Sample

LONGEST = timedelta(days=30)
"""How long a process may wait for the others."""


@dataclass(frozen=True)
class Crew:
    """This process among those launched together.

    Attributes:
        rank: 0 to size - 1.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> Crew:
        """From the environment that torchrun and accelerate set; alone without it."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def leads(self) -> bool:
        """Whether this process gathers, scores and prints."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all have come here."""
        if self.size == 1:
            return
        import torch.distributed as dist

        if not dist.is_initialized():
            dist.init_process_group("gloo", timeout=LONGEST)
        dist.barrier()

    def leave(self) -> None:
        """Part from the others."""
        if self.size > 1:
            import torch.distributed as dist

            if dist.is_initialized():
                dist.destroy_process_group()


def gather(folder: Path, store: PredictionStore) -> None:
    """Move what processes have written for a store into it, and forget their claims."""
    shards = folder / "shards"
    found = sorted(shards.glob(f"*/{store.path.name}"))
    if found:
        with store:
            for path in found:
                store.adopt(path)
                path.unlink()
    shutil.rmtree(shards / "claims" / store.path.stem, ignore_errors=True)


def predict_together(
    crew: Crew,
    folder: Path,
    unit: Unit,
    predictor: RecipePredictor,
    store: PredictionStore,
    missing: Sequence[Sample],
    advance: Callable[[], None],
) -> None:
    """Answer this process's part of the samples into its own store, then gather.

    Args:
        crew: who works.
        folder: of the run.
        unit: what the samples belong to.
        predictor: who answers.
        store: of the whole run, closed.
        missing: samples that nobody has answered, the same list in every process.
        advance: told after each sample of this process.
    """
    claims = folder / "shards" / "claims" / store.path.stem
    claims.mkdir(parents=True, exist_ok=True)
    own = store.beside(folder / "shards" / str(crew.rank))
    with own:
        for number, group in enumerate(by_video(missing)):
            if _claim(claims / str(number)):
                predict(unit, predictor, own, group, advance)
    crew.wait()
    if crew.leads:
        gather(folder, store)
    crew.wait()


def _claim(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


def leading(crew: Crew, work: Callable[[], Any]) -> None:
    """Work that the first process does while the others wait for it."""
    if crew.leads:
        work()
    crew.wait()
