"""Progress bars for data sets in the making."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from grounding_core.interfaces.dataset import Progress


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Progress]]:
    """Bars on stderr. Gives a function that takes a label and returns what to call with (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars = Bars(*columns, console=Console(stderr=True))

    def start(label: str) -> Progress:
        tasks: list[TaskID] = []

        def told(done: int, total: int) -> None:
            if not tasks:  # not before: what fails at once must not leave an empty bar above its message
                bars.start()
                tasks.append(bars.add_task(label, total=total))
            bars.update(tasks[0], completed=done, total=total)

        return told

    try:
        yield start
    finally:
        bars.stop()
