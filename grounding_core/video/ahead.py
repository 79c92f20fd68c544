"""Items made in a thread of their own while the consumer works on earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")

_END = object()
_PATIENCE = 0.1
"""Seconds after which a producer that waits for room looks whether anyone still listens."""


def ahead(items: Iterable[T], size: int = 2) -> Iterator[T]:
    """The same items in their order; at most ``size`` wait to be taken.

    What the producer raises is raised here, in its place. A consumer that stops early ends the thread.
    """
    waiting: Queue[object] = Queue(size)
    stopped = Event()
    failed: list[BaseException] = []

    def put(item: object) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=_PATIENCE)
            except Full:
                continue
            return True
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put(item):
                    return
        # Whatever it is, it belongs to the consumer.
        except BaseException as error:  # noqa: BLE001
            failed.append(error)
        finally:
            put(_END)

    thread = Thread(target=produce, name="frames ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            yield item  # type: ignore[misc]
        if failed:
            raise failed[0]
    finally:
        stopped.set()
        with suppress(Empty):
            waiting.get_nowait()
        thread.join()
