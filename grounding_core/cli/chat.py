"""``grounding chat``: many questions about one video, which is encoded once."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from grounding_core import DEFAULT_RECIPE
from grounding_core.cli.options import DeviceOption, RecipeOption, SetOption, VideoArgument, query_of

HELP = "One question a line. /describe: the whole video, /new: forget the conversation, /quit: end."


def chat(
    video: VideoArgument,
    recipe: RecipeOption = DEFAULT_RECIPE,
    overrides: SetOption = None,
    device: DeviceOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write each answer's pictures to a numbered folder in here, after those there."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each answer as one line of JSON, with its question.")
    ] = False,
) -> None:
    """Ask many questions about one video, with the conversation so far in mind."""
    from rich.console import Console

    from grounding_core import load
    from grounding_core.cli.show import answering, coloured
    from grounding_core.errors import GroundingError, QueryError
    from grounding_core.interfaces.grounder import ask
    from grounding_core.interfaces.grounder import opened as context_of
    from grounding_core.model import GroundingModel
    from grounding_core.render import check_folder, save_answer
    from grounding_core.serial import to_json
    from grounding_core.video import Video

    opened = Video.open(video)
    number = 0 if out is None else _last_in(out)
    if out is not None:
        check_folder(_numbered(out, number + 1))
    status = Console(stderr=True)
    with status.status(f"Loading {recipe}"):
        model = load(recipe, overrides=overrides or (), device=device)
    with status.status(f"Watching {opened.name}"):
        context = context_of(model, opened)
    console = Console(highlight=False)
    status.print(HELP, soft_wrap=True)
    history: list[tuple[str, str]] = []
    if isinstance(sys.stdin, io.TextIOWrapper):
        # What is no text is refused as one question; an error while reading would lose the lines after it.
        sys.stdin.reconfigure(errors="surrogateescape")
    while (line := _next_line()) is not None:
        if line == "/quit":
            break
        if line == "/new":
            history.clear()
        if line in ("", "/new"):
            continue
        try:
            if line.startswith("/") and line != "/describe":
                raise QueryError(f"There is no command {line.split()[0]}.", "Use /describe, /new or /quit.")
            query = query_of(None if line == "/describe" else line)
            with answering(None if as_json else console, status) as told:
                answer = ask(model, context, query, history=history, told=told)
            # Only where turns are worded are they read; other models answer each question by itself.
            if isinstance(model, GroundingModel) and model.prompts.turn:
                asked = model.prompts.question(query.kind, query.text)
                history.append((asked, str(answer.meta["markup"])))
            if as_json:
                print(json.dumps({"question": query.text, **to_json(answer)}, ensure_ascii=False), flush=True)
            else:
                console.print(coloured(answer))
            number += 1
            if out is not None:
                save_answer(answer, opened, _numbered(out, number), title=query.text)
        except GroundingError as error:
            status.print(" ".join(str(error).split()), style="red", markup=False, soft_wrap=True)


def _numbered(out: Path, number: int) -> Path:
    return out / f"{number:03d}"


def _last_in(out: Path) -> int:
    """The highest number among the answers of earlier conversations, 0 without any."""
    names = [item.name for item in out.iterdir()] if out.is_dir() else []
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _next_line() -> str | None:
    """The next question, None at the end of the input; prompts only where a person types."""
    try:
        line = input("> ") if sys.stdin.isatty() else sys.stdin.readline()
    except EOFError:
        return None
    return line.strip() if line or sys.stdin.isatty() else None
