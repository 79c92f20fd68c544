"""``grounding export``: saved answers in the formats of other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def _formats(incomplete: str) -> list[str]:
    from grounding_core.export import FORMATS

    return [name for name in FORMATS if name.startswith(incomplete)]


def export(
    answers: Annotated[
        list[Path], typer.Argument(metavar="ANSWER...", help="Folders of `grounding ground`, or answer.json.")
    ],
    format: Annotated[
        str, typer.Option("--format", help="coco, youtube-vis or label-studio.", autocompletion=_formats)
    ],
    out: Annotated[Path | None, typer.Option(help="File to write; left out: print.")] = None,
) -> None:
    """Write saved answers as COCO or YouTube-VIS JSON, or as Label Studio tasks (boxes only)."""
    from grounding_core.errors import GroundingError
    from grounding_core.export import FORMATS, Record

    if format not in FORMATS:
        raise GroundingError(f"There is no format {format!r}.", f"Use one of {', '.join(FORMATS)}.")
    text = json.dumps(FORMATS[format]([Record.read(path) for path in answers]), ensure_ascii=False)
    if out is None:
        print(text)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise GroundingError(
            f"{out} can't be written: {error.strerror or error}.", "Choose another file."
        ) from error
    print(f"{len(answers)} answer{'' if len(answers) == 1 else 's'} in {out}")
