"""``grounding bench``: ``python -m benchmarks.run`` under another name, with the same options."""

from __future__ import annotations

from typing import Any

import typer

CONTEXT_SETTINGS: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}


def bench(context: typer.Context) -> None:
    """Score a recipe on benchmarks: predict, score, report (see `grounding bench --help`)."""
    from benchmarks.run import app

    app(args=context.args, prog_name="grounding bench")
