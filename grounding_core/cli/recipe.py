"""``grounding recipe``: what a recipe's model is made of, and what sets two recipes apart."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grounding_core.cli.options import RecipeArgument, SetOption

if TYPE_CHECKING:
    from grounding_core.compose import Plan
    from grounding_core.outline import PartOutline

app = typer.Typer(help="Look into recipes.", no_args_is_help=True)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.callback()
def _group() -> None:
    """Look into recipes."""


@app.command()
def show(recipe: RecipeArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Parts with their plugins, parameters, memory and visual tokens. Reads no weights."""
    from grounding_core.compose import plan
    from grounding_core.config import Recipe
    from grounding_core.outline import outline

    planned = plan(Recipe.load(recipe, overrides or ()))
    parts = outline(planned)
    if as_json:
        report = {
            "recipe": planned.recipe.name,
            "parts": [dataclasses.asdict(part) for part in parts],
            "bytes": {"fp32": _bytes(parts, 4), "bf16": _bytes(parts, 2)},
            "visual_tokens": dict(planned.visual_tokens),
            "answer_tokens": planned.recipe.generation.max_new_tokens,
            "context": planned.context,
        }
        print(json.dumps(report, indent=2))
    else:
        _print_parts(planned, parts)


@app.command()
def diff(
    one: Annotated[str, typer.Argument(metavar="A", help="A recipe: installed name or YAML file.")],
    other: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    as_json: JsonOption = False,
) -> None:
    """Options in which two recipes differ, defaults of the recipe format included."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from grounding_core.config import Recipe
    from grounding_core.outline import differences

    found = differences(*(_content(Recipe.load(each)) for each in (one, other)))
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table("option", one, other, title="Differences", title_justify="left")
    for path, pair in found.items():
        table.add_row(path, *(escape("" if value is None else str(value)) for value in pair))
    Console().print(table if found else f"{one} and {other} are the same.", highlight=False)


def _content(recipe: Any) -> dict[str, Any]:
    content: dict[str, Any] = recipe.model_dump(mode="json", exclude={"name", "description"})
    return content


def _bytes(parts: list[PartOutline], width: int) -> int:
    return sum(part.bytes(width) for part in parts)


def _memory(parts: list[PartOutline]) -> tuple[str, str]:
    fp32, bf16 = (_bytes(parts, width) / 2**20 for width in (4, 2))
    return f"{fp32:,.1f}", f"{bf16:,.1f}"


def _trained(parts: list[PartOutline]) -> str:
    count, total = sum(part.trained for part in parts), sum(part.parameters for part in parts)
    if count in (0, total):
        return "" if not total else "trained" if count else "frozen"
    return f"{count / total:.2%}"


def _print_parts(planned: Plan, parts: list[PartOutline]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Recipe {planned.recipe.name}", title_justify="left", box=None, pad_edge=False)
    for heading in ("part", "component"):
        table.add_column(heading, overflow="fold")
    for heading in ("parameters", "training", "MiB fp32", "bf16", "tokens\na frame"):
        table.add_column(heading, justify="right", no_wrap=True)
    for part in parts:
        tokens = "" if part.tokens is None else f"{part.tokens:g}"
        table.add_row(
            part.role.replace("_", " "),
            part.component,
            f"{part.parameters:,}",
            _trained([part]),
            *_memory([part]),
            tokens,
        )
    table.add_section()
    table.add_row("all", "", f"{sum(part.parameters for part in parts):,}", _trained(parts), *_memory(parts))
    console = Console()
    console.print(table)
    for plugin in dict.fromkeys(part.plugin for part in parts):
        own = dict.fromkeys(part.component for part in parts if part.plugin == plugin)
        console.print(f"{plugin}: {', '.join(own)}", style="dim", highlight=False, markup=False)
    visual, answer = planned.visual_length, planned.recipe.generation.max_new_tokens
    left = planned.context - visual - answer
    console.print(
        f"context of {planned.context}: {visual} visual tokens, {answer} for the answer, {left} for words",
        highlight=False,
    )
