"""Fills pages with what the code itself says, so that text and code can't drift apart.

``<!-- help: ground -->`` becomes what ``grounding ground --help`` prints;
``<!-- options: package.module:Class -->`` becomes a table of a component's (or model's) options;
``<!-- measures: package.module:Class -->`` becomes a table of what a task measures;
``<!-- checks: package.module:Class -->`` becomes the list of what a conformance class tests;
``<!-- plugins: kind, kind -->`` becomes a table of what the distributions of this repository offer.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from typer.testing import CliRunner

from grounding_core.cli import app
from grounding_core.plugins import registry

MARK = re.compile(r"<!-- (help|options|measures|checks|plugins): (.*?) ?-->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page."""
    fill = {
        "help": _help,
        "options": _options,
        "measures": _measures,
        "checks": _checks,
        "plugins": _plugins,
    }
    return MARK.sub(lambda found: fill[found[1]](found[2]), markdown)


def _help(command: str) -> str:
    arguments = [*command.split(), "--help"]
    result = CliRunner().invoke(
        app, arguments, prog_name="grounding", env={"COLUMNS": "100", "NO_COLOR": "1"}
    )
    if result.exit_code:
        raise RuntimeError(f"grounding {' '.join(arguments)}: {result.output}") from result.exception
    return f"```text\n{result.output.strip()}\n```"


def _named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _measures(target: str) -> str:
    rows = ["| measure | what it is |", "| --- | --- |"]
    rows += [f"| {measure.label} | {measure.help} |" for measure in _named(target).measures]
    return "\n".join(rows) + "\n"


def _checks(target: str) -> str:
    found = _named(target)
    tests = [name for parent in reversed(found.__mro__) for name in vars(parent) if name.startswith("test_")]
    return (
        "\n".join(f"- {name.removeprefix('test_').replace('_', ' ')}" for name in dict.fromkeys(tests)) + "\n"
    )


def _plugins(kinds: str) -> str:
    rows = ["| kind | name | what it is | distribution |", "| --- | --- | --- | --- |"]
    for kind in kinds.split(", "):
        for entry, distribution, _ in registry().entries(kind):
            rows.append(f"| {kind.replace('_', ' ')} | `{entry.name}` | {entry.summary} | {distribution} |")
    return "\n".join(rows) + "\n"


def _options(target: str) -> str:
    found = _named(target)
    fields = getattr(found, "Config", found).model_fields
    if not fields:
        return "No options.\n"
    rows = ["| option | type | default | meaning |", "| --- | --- | --- | --- |"]
    for option, field in fields.items():
        kind = getattr(field.annotation, "__name__", None) if "[" not in str(field.annotation) else None
        text = (kind or str(field.annotation).replace("typing.", "")).replace("|", "or")
        default = "required" if field.is_required() else f"`{field.default!r}`"
        rows.append(f"| `{option}` | {text} | {default} | {field.description or ''} |")
    return "\n".join(rows) + "\n"
