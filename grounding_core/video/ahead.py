"""Items made in threads of their own while the consumer works on earlier ones."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_END = object()
_PATIENCE = 0.1
"""Seconds after which a producer that waits for room looks whether anyone still listens."""


def ahead(items: Iterable[T], size: int = 2) -> Generator[T, None, None]:
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


def ahead_map(
    work: Callable[[T], R], items: Iterable[T], *, threads: int | None = None, size: int = 2
) -> Iterator[R]:
    """``work`` of each item, in order: one thread makes the items, others do the work.

    Args:
        work: leaves Python's lock to others, as image libraries and tensors do.
        items: as for `ahead`.
        threads: of ``work``; None: two, or one where there are but two cores, which the thread that makes
            the items needs as well.
        size: at most so many results wait to be taken.
    """
    threads = threads or max(1, min(2, (os.cpu_count() or 1) - 1))
    pool = ThreadPoolExecutor(threads, "frames prepared")
    doing: deque[Future[R]] = deque()
    try:
        with closing(ahead(items)) as coming:
            for item in coming:
                doing.append(pool.submit(work, item))
                if len(doing) > size:
                    yield doing.popleft().result()
            while doing:
                yield doing.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
