"""``grounding convert``: another project's checkpoint to a recipe with weights, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grounding_core.cli.options import names_of

CONTEXT_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}


def convert(
    context: typer.Context,
    converter: Annotated[
        str,
        typer.Argument(
            help="A converter; `grounding plugins` lists them.", autocompletion=names_of("converter")
        ),
    ],
    source: Annotated[Path, typer.Argument(metavar="SRC", help="The checkpoint: a file or a folder.")],
    out: Annotated[Path, typer.Option(help="Folder to make; appears when it is complete.")],
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="A key that may be left over or missing; repeatable, {x} matches any."
        ),
    ] = None,
    to_reference: Annotated[
        bool, typer.Option("--to-reference", help="The way back: SRC is a folder made by this command.")
    ] = False,
) -> None:
    """Read another project's checkpoint; write a recipe and its weights.

    Files that a checkpoint relies on are named by options of the converter, such as --clip PATH for
    videoglamm; an error about missing weights names the option. No code in a checkpoint is run.
    """
    from grounding_core.conversion import convert as run
    from grounding_core.conversion import convert_back
    from grounding_core.hub import RECIPE
    from grounding_core.plugins import registry

    found = registry().load("converter", converter)()
    extras = _extras(context.args, [extra.name for extra in found.extras])
    if to_reference:
        report = convert_back(found, source, out)
        print(f"{report.written} tensors in {out}, under the names of {found.about}")
        return
    report = run(found, source, out, extras=extras, allow=allow or ())
    print(
        f"{report.written} tensors in {out}; {len(report.unused)} that no output depends on kept beside them"
    )
    for key in report.filled:
        print(f"missing and allowed, written as zeros: {key}")
    if not report.tokenizer:
        print(f"no tokenizer in {source}: copy the checkpoint's tokenizer files into {out}")
    print(f"use it: --recipe {out / RECIPE}")


def _extras(words: list[str], known: list[str]) -> dict[str, Path]:
    """The converter's own options, ``--name PATH``."""
    options = ", ".join(f"--{name} PATH" for name in known) or "none"
    found = {}
    for option, value in zip(words[::2], [*words[1::2], None], strict=False):
        name = option.removeprefix("--")
        if name == option or name not in known or value is None:
            raise typer.BadParameter(f"{option} is no option here; this converter has: {options}.")
        found[name] = Path(value)
    return found
