"""A run's state on disk: each save replaces the one before only when it is complete."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor

from grounding_core.checkpoint import save_weights
from grounding_core.precision import unquantised
from grounding_core.training.objective import Objective
from grounding_core.training.parts import merged_state

CHECKPOINT = "checkpoint"
BEST = "best"
STATE = "state"
PROGRESS = "progress.json"
_MODEL = "model."


def save(
    accelerator: Accelerator, wrapped: Any, objective: Objective, out: Path, progress: dict[str, Any]
) -> None:
    """Weights for use (float16, adapters merged) and the full state for resuming.

    ``wrapped`` is the objective as accelerate prepared it. All processes take part.
    """
    accelerator.wait_for_everyone()
    # Running means are each process's own; only one's are saved, and a resumed run begins with them.
    broadcast(list(objective.buffers()))
    whole: dict[str, Tensor] = accelerator.get_state_dict(wrapped)
    partial = out / f".{STATE}-{progress['step']}"
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()  # each process writes a part
    if accelerator.is_main_process:
        (partial / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")
        own = {key.removeprefix(_MODEL): value for key, value in whole.items() if key.startswith(_MODEL)}
        own = unquantised(own, objective.model)
        merged = merged_state(own, objective.model, objective.config.lora)
        save_weights(merged, out / CHECKPOINT, dtype=torch.float16)
        objective.keep(out / CHECKPOINT, whole)
        final, old = out / STATE, out / f".{STATE}-old"
        shutil.rmtree(old, ignore_errors=True)
        if final.exists():
            os.replace(final, old)
        os.replace(partial, final)
        shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()


def note(out: Path, progress: dict[str, Any]) -> None:
    """Put ``progress`` into the state that was just saved."""
    final = out / STATE / PROGRESS
    partial = final.with_suffix(".partial")
    partial.write_text(json.dumps(progress), encoding="utf-8")
    os.replace(partial, final)


def keep_best(out: Path) -> None:
    """Copy the last checkpoint to ``best/``, file by file, each of which is always whole."""
    folder = out / BEST
    folder.mkdir(exist_ok=True)
    for file in (out / CHECKPOINT).glob("[!.]*"):
        partial = folder / f".{file.name}"
        shutil.copyfile(file, partial)
        os.replace(partial, folder / file.name)


def progress_of(out: Path) -> dict[str, Any] | None:
    """What an earlier run in this folder had reached."""
    folder = _state_folder(out)
    found: dict[str, Any] | None = None
    if folder is not None:
        found = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    return found


def resume(accelerator: Accelerator, schedule: Any, out: Path) -> dict[str, Any]:
    """Load the state of an earlier run in this folder; its progress, or that of a new run."""
    folder = _state_folder(out)
    if folder is None:
        return {"step": 0, "drawn": 0, "best": None}
    accelerator.load_state(str(folder))
    progress: dict[str, Any] = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    schedule.last_epoch = progress["step"]
    for group, base, rate in zip(
        schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True
    ):
        group["lr"] = base * rate(schedule.last_epoch)
    return progress


def _state_folder(out: Path) -> Path | None:
    # A kill between two renames leaves the old state under its second name.
    return next((f for f in (out / STATE, out / f".{STATE}-old") if (f / PROGRESS).is_file()), None)
