"""``grounding demo`` and ``grounding serve``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grounding_core.errors import GroundingError
from grounding_demo.guard import OwnNames, OwnPages, is_loopback
from grounding_demo.limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

demo = typer.Typer(add_completion=False)
serve = typer.Typer(add_completion=False)

HostOption = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets the network in.")]
RecipeOption = Annotated[str | None, typer.Option(help="Recipe used when none is chosen.")]
MegabytesOption = Annotated[int, typer.Option(min=1, help="Largest upload, in MB.")]
SecondsOption = Annotated[int, typer.Option(min=1, help="Longest clip, in seconds.")]


@demo.command()
def run_demo(
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    recipe: RecipeOption = None,
    clips: Annotated[
        Path | None, typer.Option(help="Folder of clips to offer; generated ones if left out.")
    ] = None,
    max_megabytes: MegabytesOption = Limits.megabytes,
    max_seconds: SecondsOption = Limits.seconds,
) -> None:
    """Ask about clips in the browser. Needs no network; uploads are deleted when it ends."""
    from grounding_demo.hosting import open_demo
    from grounding_demo.service import Service

    service = Service(recipe, Limits(max_megabytes, max_seconds))
    with open_demo(service, clips) as app:
        listen(app, host, port, guarded=False)


@serve.command()
def run_api(
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    recipe: RecipeOption = None,
    max_megabytes: MegabytesOption = Limits.megabytes,
    max_seconds: SecondsOption = Limits.seconds,
) -> None:
    """Answer over HTTP: POST /v1/ground; see /docs.json. $GROUNDING_TOKEN: the token callers must send."""
    from grounding_demo.api import make_api
    from grounding_demo.service import Service

    token = os.environ.get("GROUNDING_TOKEN") or None
    service = Service(recipe, Limits(max_megabytes, max_seconds))
    listen(make_api(service, token=token), host, port, guarded=token is not None)


def listen(app: FastAPI, host: str, port: int, *, guarded: bool) -> None:
    """Serve until the process is ended.

    Raises:
        GroundingError: the port is taken.
    """
    import uvicorn

    served: Any = OwnPages(app)
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if is_loopback(host):
        served = OwnNames(served)
    elif not guarded:
        print(f"grounding: everybody who reaches {place} may ask.", file=sys.stderr)
    # Being terminated is an end like Ctrl-C: files are deleted on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"http://{place}  (Ctrl-C ends it)", file=sys.stderr)
    try:
        uvicorn.run(served, host=host, port=port, log_level="warning")
    except SystemExit as stop:
        remedy = "Choose another --port, or end what listens there."
        raise GroundingError(f"{place} can't be listened on.", remedy) from stop
