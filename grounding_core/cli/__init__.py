"""The ``grounding`` command: one file a command group, heavy imports inside the commands."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from grounding_core import __version__
from grounding_core.cli import (
    bench,
    chat,
    check,
    convert,
    data,
    doctor,
    export,
    ground,
    plugin_new,
    plugins,
    recipe,
    train,
)
from grounding_core.errors import GroundingError


class _Commands(TyperGroup):
    """The built-in commands, and behind them those of plugins, which are imported when they run."""

    def list_commands(self, ctx: Any) -> list[str]:
        from grounding_core.plugins import registry

        own = super().list_commands(ctx)
        return [*own, *(name for name in registry().names("command") if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from grounding_core.plugins import registry

        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in registry().names("command"):
            return own
        return _plugin_command(cmd_name)


def _plugin_command(name: str) -> Any:
    from grounding_core.plugins import registry

    shim = typer.Typer()
    summary = registry().find("command", name).entry.summary

    @shim.command(name, help=summary, add_help_option=False, context_settings=bench.CONTEXT_SETTINGS)
    def run(context: typer.Context) -> None:
        registry().load("command", name)(args=context.args, prog_name=f"grounding {name}")

    return typer.main.get_command(shim)


app = typer.Typer(
    name="grounding",
    cls=_Commands,
    help="Say what is in a video and point at it, pixel by pixel.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(ground.ground)
app.command()(chat.chat)
app.command()(export.export)
app.command()(plugins.plugins)
app.command()(check.check)
app.command()(doctor.doctor)
app.command()(train.train)
app.command(context_settings=convert.CONTEXT_SETTINGS)(convert.convert)
app.command(add_help_option=False, context_settings=bench.CONTEXT_SETTINGS)(bench.bench)
app.add_typer(data.app, name="data")
app.add_typer(recipe.app, name="recipe")
app.add_typer(plugin_new.app, name="plugin")


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

    Exit codes: 1 for a `GroundingError` (one line on stderr, no traceback), 2 for wrong usage,
    130 for Ctrl-C. Any other exception is a bug and shows its traceback.
    """
    run(app)


def run(command: typer.Typer) -> None:
    """Run a command line with the exit codes of `main`."""
    try:
        command()
    except GroundingError as error:
        print(f"grounding: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
