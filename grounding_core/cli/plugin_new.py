"""``grounding plugin new``: a distribution of one's own to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Write plugins.", no_args_is_help=True)


def _roles(incomplete: str) -> list[str]:
    from grounding_core.config import ROLES

    return sorted({role for role in ROLES.values() if role.startswith(incomplete)})


@app.callback()
def _group() -> None:
    """Write plugins."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="What recipes shall call the component, e.g. my_decoder.")],
    role: Annotated[
        str,
        typer.Option(
            help="image_encoder, video_encoder, vision_adapter, language_model, prompt_adapter or "
            "mask_decoder.",
            autocompletion=_roles,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; default: ./grounding-NAME.", show_default=False)
    ] = None,
) -> None:
    """Write a ready distribution: entry point, a component that works, its conformance test, and a README."""
    from grounding_core.scaffold import write_plugin

    folder = write_plugin(name, role, out)
    print(f"{folder} is ready. Install it with `pip install -e {folder}`, then `pytest {folder}`.")
