"""Options that several commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grounding_core.hookspecs import Kind

if TYPE_CHECKING:
    from grounding_core.types import Query


KINDS = ("refer", "ask", "locate", "describe")


def names_of(kind: Kind) -> Callable[[str], list[str]]:
    """For the shell's completion: installed names that begin so; files are the shell's own matter."""

    def complete(incomplete: str) -> list[str]:
        from grounding_core.plugins import registry

        return [name for name in registry().names(kind) if name.startswith(incomplete)]

    return complete


VideoArgument = Annotated[
    Path,
    typer.Argument(metavar="VIDEO", help="A video, a folder of frames, or an image.", show_default=False),
]
RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="An installed recipe, a YAML file, a folder, or OWNER/NAME on the hub.",
        show_default=False,
        autocompletion=names_of("recipe"),
    ),
]
RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="An installed recipe, a YAML file, a folder, or OWNER/NAME on the hub.",
        autocompletion=names_of("recipe"),
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a recipe value; repeatable.")
]
DeviceOption = Annotated[
    str | None,
    typer.Option(help="Where to compute: cpu, cuda, cuda:1, mps; default: a GPU of CUDA, else the CPU."),
]
KindOption = Annotated[
    str | None,
    typer.Option(
        help="What the text is: refer (an expression), ask (a question), locate (a statement), "
        "describe. Left out: ask if it ends with '?', refer otherwise, describe without text.",
        autocompletion=lambda incomplete: [kind for kind in KINDS if kind.startswith(incomplete)],
    ),
]
PreviewOption = Annotated[
    bool, typer.Option("--preview/--no-preview", help="Small pictures, in a terminal of 24-bit colours.")
]


def query_of(text: str | None, kind: str | None = None) -> Query:
    """The query a user means by a text and a kind, either of which may be left out.

    Raises:
        QueryError: the text is empty, or the kind unknown.
    """
    from grounding_core.types import Query

    if text is None:
        return Query("", kind or "describe")  # type: ignore[arg-type]  # Query checks it
    guess = "ask" if text.rstrip().endswith("?") else "refer"
    return Query(text, kind or guess)  # type: ignore[arg-type]
