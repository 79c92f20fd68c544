"""``grounding doctor``: what this machine has, and what is missing."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what is installed and reachable: packages, plugins, devices, decoders, Java, hub, caches.

    Exit code 1 if something that every use needs is broken.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from grounding_core.doctor import examine

    with Console(stderr=True).status("Looking around"):
        findings = list(examine())
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        table = Table(box=None, pad_edge=False)
        table.add_column("topic", style="dim", no_wrap=True)
        for heading in ("", "what", "detail"):
            table.add_column(heading, overflow="fold")
        marks = {
            "ok": "[green]ok[/green]",
            "missing": "[yellow]missing[/yellow]",
            "broken": "[red]broken[/red]",
        }
        topic = ""
        for finding in findings:
            shown = finding.topic if finding.topic != topic else ""
            topic = finding.topic
            table.add_row(shown, marks[finding.state], escape(finding.name), escape(finding.detail))
        Console(highlight=False).print(table)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)
