"""``grounding check``: does a recipe fit together? Loads no weights."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grounding_core.cli.options import RecipeArgument, SetOption, names_of

if TYPE_CHECKING:
    from grounding_core.compose import Plan


def check(
    recipe: RecipeArgument,
    overrides: SetOption = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="A task it shall be scored on; repeatable.", autocompletion=names_of("task")),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Resolve a recipe's parts, check that they fit together, and print the plan."""
    from grounding_core.compose import plan
    from grounding_core.config import Recipe
    from grounding_core.errors import GroundingError, RecipeError

    try:
        planned = plan(Recipe.load(recipe, overrides or ()), tasks=task or ())
    except RecipeError as error:
        if as_json:
            problems = [{"path": path, "message": message} for path, message in error.problems]
            print(json.dumps({"recipe": recipe, "problems": problems}, indent=2))
            raise typer.Exit(1) from error
        if len(error.problems) == 1:
            raise
        for path, message in error.problems:
            print(f"{path or recipe}: {message}")
        raise GroundingError(
            f"Recipe {recipe} has {len(error.problems)} problems.", "Each is listed with its path."
        ) from error
    if as_json:
        print(json.dumps({"recipe": planned.recipe.name, "problems": [], **_facts_of(planned)}, indent=2))
    else:
        _print_plan(planned)


def _facts_of(planned: Plan) -> dict[str, Any]:
    return {
        "parts": {role: part.name for role, part in planned.parts.items()},
        "specs": {role: dataclasses.asdict(spec) for role, spec in planned.specs.items() if spec is not None},
        "visual_tokens": dict(planned.visual_tokens),
        "context": planned.context,
        "fingerprint": planned.recipe.fingerprint(),
    }


def _facts(spec: Any) -> str:
    if spec is None:
        return ""
    values = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def _print_plan(planned: Plan) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("part", "component", "facts", title=f"Recipe {planned.recipe.name}", title_justify="left")
    for role, part in planned.parts.items():
        table.add_row(role, part.name, part.facts or _facts(planned.specs.get(role)))
    console = Console()
    console.print(table)
    if planned.visual_tokens:
        added = planned.visual_length < sum(planned.visual_tokens.values())
        sign = "added place by place to" if added else "+"
        counts = f" {sign} ".join(f"{count} {branch}" for branch, count in planned.visual_tokens.items())
        console.print(f"{planned.visual_length} visual tokens ({counts}) of a context of {planned.context}")
    console.print(f"fingerprint {planned.recipe.fingerprint()}", highlight=False)
