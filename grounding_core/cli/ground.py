"""``grounding ground``: one question about one video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grounding_core import DEFAULT_RECIPE
from grounding_core.cli.options import (
    DeviceOption,
    KindOption,
    PreviewOption,
    RecipeOption,
    SetOption,
    VideoArgument,
    query_of,
)


def ground(
    video: VideoArgument,
    question: Annotated[
        str | None, typer.Argument(help="What to find; left out: describe the video.")
    ] = None,
    recipe: RecipeOption = DEFAULT_RECIPE,
    overrides: SetOption = None,
    device: DeviceOption = None,
    kind: KindOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the pictures; default: runs/ground/<video>.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    pictures: PreviewOption = True,
) -> None:
    """Answer a question about a video, and write overlay, masks and contact sheet."""
    from rich.console import Console

    from grounding_core import load
    from grounding_core.cli.show import answering, coloured, preview, visibility
    from grounding_core.interfaces.grounder import ask
    from grounding_core.interfaces.grounder import opened as context_of
    from grounding_core.render import check_folder, save_answer
    from grounding_core.video import Video

    # What is cheap to find wrong is looked at before a model is loaded.
    query = query_of(question, kind)
    opened = Video.open(video)
    folder = out or Path("runs/ground") / opened.name
    check_folder(folder)
    status, console = Console(stderr=True), Console(highlight=False)
    with status.status(f"Loading {recipe}"):
        model = load(recipe, overrides=overrides or (), device=device)
    with status.status(f"Watching {opened.name}"):
        context = context_of(model, opened)
    with answering(None if as_json else console, status) as told:
        answer = ask(model, context, query, told=told)
    with status.status(f"Writing {folder}"):
        save_answer(answer, opened, folder, title=query.text)
    if as_json:
        print((folder / "answer.json").read_text(encoding="utf-8").strip())
        return
    console.print(coloured(answer))
    for line in visibility(answer):
        console.print(line, markup=False, style="dim")
    if pictures and (small := preview(answer, opened, console)) is not None:
        console.print(small)
    console.print(f"Pictures: {folder}", markup=False, soft_wrap=True)
