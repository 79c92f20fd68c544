"""``grounding plugins``: what is installed, and what failed."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer


def _built_in(context: typer.Context) -> set[str]:
    """Commands that no plugin can bring."""
    group: Any = context.parent.command if context.parent is not None else None
    return set(getattr(group, "commands", ()))


def plugins(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """List installed plugins, what they offer, and those that failed to load."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from grounding_core.plugins import registry

    found = registry()
    collisions = [
        {
            "kind": group[0].entry.kind,
            "name": group[0].entry.name,
            "owners": [f"{offer.distribution} {offer.version}" for offer in group],
        }
        for group in found.collisions()
    ]
    collisions += [
        {
            "kind": "command",
            "name": offer.entry.name,
            "owners": ["grounding-core (built in)", f"{offer.distribution} {offer.version}"],
        }
        for offer in found.entries("command")
        if offer.entry.name in _built_in(context)
    ]
    if as_json:
        report = {
            "plugins": [dataclasses.asdict(plugin) for plugin in found.plugins],
            "failures": [dataclasses.asdict(failure) for failure in found.failures],
            "collisions": collisions,
        }
        print(json.dumps(report, indent=2))
        return
    console = Console()
    for plugin in found.plugins:
        table = Table(title=f"{plugin.distribution} {plugin.version}", title_justify="left", box=None)
        for heading in ("kind", "name", "what it is"):
            table.add_column(heading, overflow="fold")
        for entry in sorted(plugin.entries, key=lambda entry: (entry.kind, entry.name)):
            table.add_row(entry.kind, entry.name, escape(entry.summary))
        console.print(table, "")
    for failure in found.failures:
        console.print(f"[red]failed[/red] {escape(str(failure))}, entry point {failure.name}", soft_wrap=True)
    for collision in collisions:
        claim = f"{collision['kind']} {collision['name']}: {' and '.join(collision['owners'])}"
        console.print(f"[red]claimed twice[/red] {escape(claim)}", soft_wrap=True)
