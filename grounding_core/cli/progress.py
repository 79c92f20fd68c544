"""Progress bars for data sets in the making."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from grounding_core.interfaces.dataset import Progress


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Progress]]:
    """Bars on stderr. Gives a function that takes a label and returns what to call with (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars = Bars(*columns, console=Console(stderr=True))

    def start(label: str) -> Progress:
        bars.start()  # not before: bars without a task draw an empty line
        bar = bars.add_task(label, total=None)
        return lambda done, total: bars.update(bar, completed=done, total=total)

    try:
        yield start
    finally:
        bars.stop()
