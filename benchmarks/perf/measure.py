"""What the measuring programs share: clocks, the machine's description, and tables with both sides."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured ratio.

    Attributes:
        what: the thing measured.
        slow, fast: the two sides, as words with their numbers.
        ratio: the figure itself.
        goal: what it should reach; ``None`` where there is none.
        atleast: whether more is better.
    """

    what: str
    slow: str
    fast: str
    ratio: float
    goal: float | None = None
    atleast: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached."""
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.atleast else self.ratio <= self.goal


def clock(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, all its threads together, and the result.

    Others on the machine stretch the time on the wall, this hardly; on a GPU it says nothing, so there the
    wall counts, after everything that was asked for is done.
    """
    now, wait = _clock()
    wait()
    start = now()
    result = work()
    wait()
    return now() - start, result


def _clock() -> tuple[Callable[[], float], Callable[[], Any]]:
    import torch

    if torch.cuda.is_available():
        return time.perf_counter, torch.cuda.synchronize
    return time.process_time, lambda: None


def best(work: Callable[[], Any], rounds: int) -> float:
    """Least seconds of several rounds."""
    return min(clock(work)[0] for _ in range(rounds))


def machine() -> dict[str, str]:
    """The hardware and what else it does."""
    found = {"cpu": _cpu(), "cores": str(len(os.sched_getaffinity(0))), "python": platform.python_version()}
    import torch

    found |= {"torch": torch.__version__, "threads": str(torch.get_num_threads())}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    found["load"] = f"{os.getloadavg()[0]:.1f}"
    found["seconds"] = "on the wall" if torch.cuda.is_available() else "of CPU"
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def report(name: str, figures: Sequence[Figure], out: Path | None, notes: Sequence[str] = ()) -> None:
    """Print figures with the machine they were measured on; keep them as JSON where asked to.

    Args:
        name: of the measurement.
        figures: both sides and the ratio of each.
        out: folder for ``name.json``.
        notes: what a reader must know.
    """
    facts = machine()
    console = Console()
    table = Table("", "the slow way", "ours", box=None, padding=(0, 2, 0, 0))
    for title in ("ratio", "goal", ""):
        table.add_column(title, justify="right", no_wrap=True)
    for figure in figures:
        sign = "≥" if figure.atleast else "≤"
        goal = "" if figure.goal is None else f"{sign} {figure.goal:g}"
        met = {True: "met", False: "missed", None: ""}[figure.met]
        table.add_row(figure.what, figure.slow, figure.fast, f"{figure.ratio:.3g}", goal, met)
    console.print(table)
    for note in notes:
        console.print(note, style="dim", highlight=False)
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()), style="dim", highlight=False)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        content = {
            "machine": facts,
            "figures": [{**asdict(figure), "met": figure.met} for figure in figures],
            "notes": list(notes),
        }
        (out / f"{name}.json").write_text(
            json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
