"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from grounding_core.hookspecs import Entry, hookimpl

INTERFACE = 1


@hookimpl
def grounding_entries() -> Sequence[Entry]:
    """Three commands."""
    hint = "pip install grounding-demo"
    return [
        Entry("command", "demo", "grounding_demo.commands:demo", hint, "ask about clips in the browser"),
        Entry(
            "command",
            "review",
            "grounding_demo.review_command:review",
            hint,
            "review captioned data in the browser, worst first",
        ),
        Entry("command", "serve", "grounding_demo.commands:serve", hint, "answer over HTTP, as JSON"),
    ]
