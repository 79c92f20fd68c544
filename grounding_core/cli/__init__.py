"""The ``grounding`` command: one file a command group, heavy imports inside the commands."""

from __future__ import annotations

import sys

import typer

from grounding_core import __version__
from grounding_core.cli import bench, chat, check, convert, data, ground, plugins, train
from grounding_core.errors import GroundingError

app = typer.Typer(
    name="grounding",
    help="Say what is in a video and point at it, pixel by pixel.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(ground.ground)
app.command()(chat.chat)
app.command()(plugins.plugins)
app.command()(check.check)
app.command()(train.train)
app.command(context_settings=convert.CONTEXT_SETTINGS)(convert.convert)
app.command(add_help_option=False, context_settings=bench.CONTEXT_SETTINGS)(bench.bench)
app.add_typer(data.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"grounding_core {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Say what is in a video and point at it, pixel by pixel."""


def main() -> None:
    """Run the command line; the only place where errors become lines and exit codes.

    Exit codes: 1 for a :class:`GroundingError` (one line on stderr, no traceback), 2 for wrong usage,
    130 for Ctrl-C. Any other exception is a bug and shows its traceback.
    """
    try:
        app()
    except GroundingError as error:
        print(f"grounding: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
