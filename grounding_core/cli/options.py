"""Options that several commands share, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from grounding_core.types import Query


def recipe_names(incomplete: str) -> list[str]:
    """Installed recipes that begin so, for the shell's completion; files are the shell's own matter."""
    from grounding_core.plugins import registry

    return [name for name in registry().names("recipe") if name.startswith(incomplete)]


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
        autocompletion=recipe_names,
    ),
]
RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="An installed recipe, a YAML file, a folder, or OWNER/NAME on the hub.",
        autocompletion=recipe_names,
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a recipe value; repeatable.")
]
KindOption = Annotated[
    str | None,
    typer.Option(
        help="What the text is: refer (an expression), ask (a question), locate (a statement), "
        "describe. Left out: ask if it ends with '?', refer otherwise, describe without text."
    ),
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
