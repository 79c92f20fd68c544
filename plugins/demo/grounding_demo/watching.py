"""A question that is answered in a thread of its own, so that the page can show the text as it comes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

from grounding_core.markup import Marked
from grounding_core.types import GroundedText

PAUSE = 0.1
"""Seconds between two looks at the text; the browser needs no more."""


class Job:
    """Runs a question.

    Args:
        ask: answers; what it is given is to be called with the text so far.
    """

    def __init__(self, ask: Callable[[Callable[[Marked], None]], GroundedText]) -> None:
        self._texts: queue.SimpleQueue[Marked | None] = queue.SimpleQueue()
        self._answer: GroundedText | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self._thread.start()

    def _run(self, ask: Callable[[Callable[[Marked], None]], GroundedText]) -> None:
        try:
            self._answer = ask(self._texts.put)
        # Raised again in `result`, in the thread that waits for the answer.
        except BaseException as error:  # noqa: BLE001
            self._error = error
        finally:
            self._texts.put(None)

    def heard(self) -> Iterator[Marked]:
        """The text so far, whenever there is more of it, until the answer is complete."""
        while True:
            newest = self._texts.get()
            self._thread.join(PAUSE)
            while newest is not None and not self._texts.empty():
                newest = self._texts.get()
            if newest is None:
                return
            yield newest

    def result(self) -> GroundedText:
        """The answer.

        Raises:
            Whatever answering raised.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer
