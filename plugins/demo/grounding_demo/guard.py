"""What is checked before a request's body is read."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import HTTPException
from starlette.responses import JSONResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """ASGI middleware: a bearer token for everything, and no body beyond a size.

    Args:
        app: what is guarded.
        token: callers must send it as ``Authorization: Bearer TOKEN``; None lets everybody in.
        size: most bytes of a body.
    """

    def __init__(self, app: Application, *, token: str | None, size: int) -> None:
        self._app = app
        self._token = token
        self._size = size

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"authorization", b"")
        if self._token is not None and not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            said = _problem("A bearer token is needed.", "Send the header 'Authorization: Bearer TOKEN'.")
            refused = JSONResponse(said, 401, {"WWW-Authenticate": "Bearer"})
            await refused(scope, receive, send)
            return
        too_large = _problem(f"The request is larger than {self._size} bytes.", "Send a smaller clip.")
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._size:
            await JSONResponse(too_large, 413)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._size:
                raise HTTPException(413, too_large)
            return message

        await self._app(scope, counted, send)


def _problem(problem: str, remedy: str) -> dict[str, str]:
    return {"problem": problem, "remedy": remedy}
