"""HTTP servers that end with the test that started them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

S = TypeVar("S", bound="Listener")


class Listener(ThreadingHTTPServer):
    """Answers at a free port of this machine, each request in a thread.

    A client that left before its answer is nothing; what else goes wrong in an answer fails the test. Neither
    is printed: the thread may outlive a test's last line, and the words would be another test's.
    """

    daemon_threads = False  # so that server_close waits for the answers still being written

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.failures: list[BaseException] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError):
            self.failures.append(error)


@contextmanager
def listening(server: S) -> Iterator[S]:
    """The server at work; an error in one of its answers is raised at the end."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
    for failure in server.failures:
        raise failure
