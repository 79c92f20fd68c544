"""A language model's endpoint on this machine, which says what a test wants."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from servers import Listener


class Server(Listener):
    """Does what it is told for each request in turn, the last thing again and again."""

    def __init__(self, *acts: Callable[[Handler], None]) -> None:
        super().__init__(Handler)
        self.acts = acts
        self.asked: list[dict] = []
        self.lock = threading.Lock()
        self.open = self.most_open = 0

    @property
    def url(self) -> str:
        return f"{super().url}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            act = self.server.acts[min(len(self.server.asked), len(self.server.acts) - 1)]
            self.server.asked.append({**body, "path": self.path, "key": self.headers["Authorization"]})
            self.server.open += 1
            self.server.most_open = max(self.server.most_open, self.server.open)
        act(self)

    def send(self, code: int, body: bytes, **headers: str) -> None:
        # Before the answer leaves: once it has, the client may ask its next question at any moment.
        with self.server.lock:
            self.server.open -= 1
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


def says(content: str, wait: float = 0.0) -> Callable[[Handler], None]:
    def act(handler: Handler) -> None:
        time.sleep(wait)
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        reply = {"choices": [{"message": {"content": content}}], "usage": usage}
        handler.send(200, json.dumps(reply).encode())

    return act


def fails(code: int, body: bytes = b"no", **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.send(code, body, **headers)
