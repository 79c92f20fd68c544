"""Where time and memory go: stages that parts mark, and a profile that listens where one is asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass
class Stage:
    """What one kind of work took.

    Attributes:
        seconds: on the wall, without stages inside of it.
        calls: how often it was entered.
        memory: most bytes seen: those the process held when it ended, or the device at its peak.
    """

    seconds: float = 0.0
    calls: int = 0
    memory: int = 0


@dataclass
class Profile:
    """Stages by name, in the order in which they were first entered."""

    stages: dict[str, Stage] = field(default_factory=dict)
    _open: list[_Open] = field(default_factory=list)

    def as_json(self) -> dict[str, dict[str, float]]:
        """Seconds, calls and memory in MB by stage."""
        return {
            name: {
                "seconds": round(stage.seconds, 4),
                "calls": stage.calls,
                "memory_mb": round(stage.memory / 2**20, 1),
            }
            for name, stage in self.stages.items()
        }

    def enter(self, name: str) -> None:
        """A stage begins."""
        self.stages.setdefault(name, Stage())
        if (cuda := _cuda()) is not None:
            cuda.synchronize()
            if self._open:
                self._open[-1].memory = max(self._open[-1].memory, cuda.max_memory_allocated())
            cuda.reset_peak_memory_stats()
        self._open.append(_Open(name, time.perf_counter()))

    def leave(self) -> None:
        """The stage entered last ends."""
        cuda = _cuda()
        if cuda is not None:
            cuda.synchronize()
        ended = self._open.pop()
        whole = time.perf_counter() - ended.start
        stage = self.stages[ended.name]
        stage.seconds += whole - ended.inside
        stage.calls += 1
        memory = max(ended.memory, _resident() if cuda is None else cuda.max_memory_allocated())
        stage.memory = max(stage.memory, memory)
        if self._open:
            self._open[-1].inside += whole
            self._open[-1].memory = max(self._open[-1].memory, memory if cuda is not None else 0)


@dataclass
class _Open:
    name: str
    start: float
    inside: float = 0.0
    memory: int = 0


_PROFILE: ContextVar[Profile | None] = ContextVar("profile", default=None)


@contextmanager
def profiled() -> Iterator[Profile]:
    """Listen to the stages of what runs inside, in this thread."""
    profile = Profile()
    token = _PROFILE.set(profile)
    try:
        yield profile
    finally:
        _PROFILE.reset(token)


def current() -> Profile | None:
    """The profile that listens, if one does."""
    return _PROFILE.get()


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Mark work as one stage; may be nested. Never around a ``yield``: what the consumer does would count."""
    profile = _PROFILE.get()
    if profile is None:
        yield
        return
    profile.enter(name)
    try:
        yield
    finally:
        profile.leave()


def staged(name: str, items: Iterable[T]) -> Iterator[T]:
    """An iterable's items; the time that each takes to come is a stage."""
    iterator = iter(items)
    try:
        while True:
            with stage(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
    finally:
        if (close := getattr(iterator, "close", None)) is not None:
            close()


def _cuda() -> Any:
    """``torch.cuda`` where it is in use; importing torch is not this module's business."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _resident() -> int:
    """Bytes that the process holds in memory; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    import resource

    return pages * resource.getpagesize()
