"""A tokenizer's chat template as the ``prompts`` of a recipe.

Templates are programs, and may depend on the date; the recipe keeps the text they write, so that a model
reads tomorrow what it reads today.
"""

from __future__ import annotations

import json
from typing import Any

import typer

from grounding_core.config import QUESTION, VISUAL
from grounding_core.errors import CheckpointError

ANSWER = "{answer}"
NEXT = "{next}"

app = typer.Typer(add_completion=False)


def prompts_of(tokenizer: Any, *, system: str | None = None) -> dict[str, str]:
    """``layout`` and ``turn`` of a recipe's prompts (`grounding_core.config.Prompts`).

    Args:
        tokenizer: of transformers.
        system: text of the system turn; None leaves the template's own.

    Raises:
        CheckpointError: there is no template, or it changes what a turn says.
    """
    if getattr(tokenizer, "chat_template", None) is None:
        raise CheckpointError(
            "The tokenizer has no chat template.", "Write `prompts.layout` as its model was trained."
        )
    turns = [] if system is None else [{"role": "system", "content": system}]
    turns.append({"role": "user", "content": f"{VISUAL}\n{QUESTION}"})
    layout = _written(tokenizer, turns)
    more = [*turns, {"role": "assistant", "content": ANSWER}, {"role": "user", "content": NEXT}]
    between = _written(tokenizer, more).partition(QUESTION)[2].partition(NEXT)[0]
    if f"{VISUAL}\n{QUESTION}" not in layout or ANSWER not in between:
        raise CheckpointError(
            "The chat template changes what a turn says.", "Write `prompts.layout` as its model was trained."
        )
    return {"layout": layout, "turn": between}


def _written(tokenizer: Any, turns: list[dict[str, str]]) -> str:
    # Templates that know a thinking mode read enable_thinking; others pass over it.
    text: str = tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    marks = tokenizer("")["input_ids"]
    start = tokenizer.decode(marks[:1]) if marks and marks[0] != tokenizer.eos_token_id else ""
    return text.removeprefix(start)  # the model writes it itself


@app.command()
def chat_template(
    source: str = typer.Argument(help="Hub id, or folder with a tokenizer."),
    system: str = typer.Option(None, help="Text of the system turn; none: the template's own."),
) -> None:
    """Print a tokenizer's chat template as the prompts of a recipe, in YAML."""
    from grounding_hf.language import read_tokenizer

    found = prompts_of(read_tokenizer(source), system=system)
    typer.echo("prompts:")
    for name, text in found.items():
        typer.echo(
            f"  {name}: {json.dumps(text, ensure_ascii=False)}"
        )  # JSON is YAML, and keeps lines together
