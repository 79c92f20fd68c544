"""What a run writes down as it goes: a line a step, and what the progress bar says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

LOG = "metrics.jsonl"


@dataclass(frozen=True)
class Journal:
    """``metrics.jsonl`` in a stage's folder, written by the main process; and the trackers."""

    accelerator: Accelerator
    out: Path

    def losses(self, step: int, rate: float, values: Mapping[str, float], pace: float) -> None:
        """Write a step's losses, learning rate and videos a second."""
        if not self.accelerator.is_main_process:
            return
        rounded = {name: round(value, 6) for name, value in values.items()}
        self._append({"step": step, "lr": rate, "videos_per_s": round(pace, 3), **rounded})
        self.accelerator.log({**values, "lr": rate, "videos_per_s": pace}, step=step)

    def validation(self, step: int, report: Mapping[str, float]) -> None:
        """Write what a validation found; called on the main process."""
        self._append({"step": step, "validation": dict(report)})
        self.accelerator.log({f"validation/{name}": value for name, value in report.items()}, step=step)

    def _append(self, row: Mapping[str, Any]) -> None:
        with open(self.out / LOG, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")


def mean(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Losses over processes; one that only some have, such as `prompt`, over those."""
    own: dict[str, list[float]] = {}
    for share in shares:
        for name, value in share.items():
            own.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in own.items()}


def line(running: Mapping[str, float], pace: float) -> str:
    """What the progress bar says: losses, videos a second, memory."""
    if torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated() / 2**30
    else:
        import resource  # not on Windows

        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    shown = " ".join(f"{name} {value:.3f}" for name, value in running.items())
    return f"{shown} | {pace:.1f} videos/s, {memory:.1f} GiB"
