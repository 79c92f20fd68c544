"""What is checked before a request's body is read."""

from __future__ import annotations

import hmac
import ipaddress
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


class OwnNames:
    """ASGI middleware for an address that only this machine reaches: answers to its loopback names alone.

    A page elsewhere may point a name of its own at this machine, and would be let in by the browser.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            asked = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            name = asked if asked.endswith("]") else asked.rpartition(":")[0] or asked
            if not is_loopback(name.removeprefix("[").removesuffix("]").lower()):
                said = _problem(
                    f"{asked!r} is no name of this machine.", "Ask http://localhost or its address."
                )
                await JSONResponse(said, 400)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class OwnPages:
    """ASGI middleware: no request that a page elsewhere makes a browser send.

    A form or script on another page may post here without the browser asking first; the browser names the
    page's origin. Other programs name none.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin.partition("://")[2] != headers.get(b"host", b"").decode("latin-1"):
            remedy = "Use the server's own page. A proxy must pass the header Host on."
            await JSONResponse(_problem(f"{origin} is another page.", remedy), 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _problem(problem: str, remedy: str) -> dict[str, str]:
    return {"problem": problem, "remedy": remedy}
