"""``grounding export``: saved answers in the formats of other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def _formats(incomplete: str) -> list[str]:
    from grounding_core.export import FOLDERS, FORMATS

    return [name for name in (*FORMATS, *FOLDERS) if name.startswith(incomplete)]


def export(
    answers: Annotated[
        list[Path], typer.Argument(metavar="ANSWER...", help="Folders of `grounding ground`, or answer.json.")
    ],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="coco, youtube-vis, label-studio, label-studio-masks or fiftyone.",
            autocompletion=_formats,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="File to write (fiftyone: folder); left out: print.")
    ] = None,
    frames: Annotated[
        Path | None, typer.Option(help="Folder to write the frames into that the file names, as JPEG.")
    ] = None,
) -> None:
    """Write saved answers for COCO's tools, YouTube-VIS's, Label Studio or FiftyOne."""
    from grounding_core.errors import GroundingError
    from grounding_core.export import FOLDERS, FORMATS, Record, write_frames

    known = (*FORMATS, *FOLDERS)
    if format not in known:
        raise GroundingError(f"There is no format {format!r}.", f"Use one of {', '.join(known)}.")
    if out is None and format in FOLDERS:
        raise GroundingError(f"The format {format} is a folder.", "Name one with --out.")
    records = [Record.read(path) for path in answers]
    try:
        if frames is not None:
            count = write_frames(records, frames)
            typer.echo(f"{count} frame{'' if count == 1 else 's'} in {frames}", err=True)
        if out is not None and format in FOLDERS:
            FOLDERS[format](records, out)
        else:
            text = json.dumps(FORMATS[format](records), ensure_ascii=False)
            if out is None:
                print(text)
                return
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise GroundingError(
            f"{error.filename or out} can't be written: {error.strerror or error}.", "Choose another place."
        ) from error
    print(f"{len(answers)} answer{'' if len(answers) == 1 else 's'} in {out}")
