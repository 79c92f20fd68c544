"""The report for a terminal of 80 columns, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.report.profile import HEADS, profile_markdown, profile_rows
from benchmarks.scores import MODEL


def number(value: float | None, percent: bool) -> str:
    """As tables show it."""
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if percent else f"{value:.2f}"


def interval(found: Mapping[str, float | None], percent: bool) -> str:
    """The bootstrap interval, empty if there is none."""
    if found["low"] is None or found["high"] is None:
        return ""
    low, high = number(found["low"], percent), number(found["high"], percent)
    return f"{low} to {high}" if low.startswith("-") else f"{low}–{high}"


def display_name(report: Mapping[str, Any], predictor: str) -> str:
    """The model's own name, or the baseline's."""
    return str(report["model"]) if predictor == MODEL else predictor


def scope(result: Mapping[str, Any]) -> str:
    """How much was scored."""
    part = f" of {result['total']}" if result["n"] < result["total"] else ""
    return f"{result['n']}{part} samples, {result['videos']} videos"


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print one table a task and data set."""
    for result in report["results"]:
        measures = [measure for measure in result["measures"] if measure["brief"]]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("")
        for measure in measures:
            head = measure["label"].replace(" ", "\n")
            table.add_column(Text(head, justify="right"), justify="right")
        for name, found in result["predictors"].items():
            cells = [number(found["values"].get(m["key"], {}).get("value"), m["percent"]) for m in measures]
            style = "bold green" if name == MODEL else "dim"
            table.add_row(
                Text(display_name(report, name), overflow="ellipsis", no_wrap=True), *cells, style=style
            )
        console.print()
        console.print(Text(f"{result['title']} · {result['dataset']}:{result['split']}", style="bold"))
        console.print(Text(_subtitle(result), style="dim"))
        console.print(table)
        if published := _published(result):
            console.print(Text(published, style="dim"))
        errors = result["predictors"][MODEL]["errors"]
        if errors:
            first = result["failures"][0]["error"]
            text = f"{errors} of {result['n']} samples failed and count as misses: {first}"
            console.print(Text(text, style="red"))
        for note in result["notes"]:
            console.print(Text(note, style="yellow"))

    if report.get("profile"):
        table = Table(
            *HEADS, title="Where the time went", title_justify="left", box=None, padding=(0, 2, 0, 0)
        )
        for column in table.columns[1:]:
            column.justify = "right"
        for profiled in profile_rows(report["profile"]):
            table.add_row(*profiled)
        console.print()
        console.print(table)


def _subtitle(result: Mapping[str, Any]) -> str:
    head = next(m for m in result["measures"] if m["key"] == result["headline"])
    bounds = interval(result["predictors"][MODEL]["values"][head["key"]], head["percent"])
    spread = f"; {head['label']} 95 % interval {bounds}" if bounds else ""
    errors = result["predictors"][MODEL]["errors"]
    return f"{scope(result)}, {errors} error{'' if errors == 1 else 's'}{spread}"


def _published(result: Mapping[str, Any]) -> str:
    """Numbers of papers, each by the measure that is comparable, on one line."""
    found = []
    for measure in result["measures"]:
        rows = [row for row in result["references"] if row["measure"] == measure["key"]]
        if rows:
            told = ", ".join(f"{row['system']} {row['value']:.1f}" for row in rows)
            found.append(told if measure["key"] == result["headline"] else f"by {measure['label']} {told}")
    return f"published on {result['dataset']}:{result['split']}: {'; '.join(found)}" if found else ""


def markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    lines = [f"# {report['model']}", ""]
    for result in report["results"]:
        lines += _section(report, result)
    lines += profile_markdown(report)
    lines += ["## How these numbers were made", "", "| | |", "| --- | --- |"]
    facts = {**report["fingerprint"], **{f"scored with {k}": v for k, v in report["platform"].items()}}
    lines += [f"| {_cell(key)} | {_cell(value)} |" for key, value in facts.items()]
    lines += ["", "Intervals are 95 % bootstrap intervals over videos. Failed samples count as misses.", ""]
    return "\n".join(lines)


def _section(report: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    measures = result["measures"]
    lines = [f"## {result['title']} · {result['dataset']}:{result['split']}", "", f"{scope(result)}.", ""]
    lines += ["| | " + " | ".join(_cell(m["label"]) for m in measures) + " | n | errors |"]
    lines += ["| --- |" + " ---: |" * (len(measures) + 2)]
    for name, found in result["predictors"].items():
        cells = [_measured(found["values"].get(m["key"]), m["percent"]) for m in measures]
        shown = display_name(report, name)
        title = f"**{_cell(shown)}**" if name == MODEL else _cell(shown)
        lines.append(f"| {title} | " + " | ".join(cells) + f" | {result['n']} | {found['errors']} |")
    lines.append("")
    lines += _references(result)
    for tag, groups in result["breakdown"].items():
        lines += [f"| {_cell(tag)} | n | " + " | ".join(_cell(m["label"]) for m in measures) + " |"]
        lines += ["| --- |" + " ---: |" * (len(measures) + 1)]
        for group in groups:
            cells = [number(group["values"][m["key"]]["value"], m["percent"]) for m in measures]
            lines.append(f"| {_cell(group['value'])} | {group['n']} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += [f"- {_cell(m['label'])}: {_cell(m['help'])}" for m in measures]
    lines += [f"- {_cell(key)}: {_cell(value)}" for key, value in result["protocol"].items()]
    lines += [f"- {_cell(note)}" for note in result["notes"]]
    lines += [f"- failed: `{failure['id']}`: {_cell(failure['error'])}" for failure in result["failures"]]
    return [*lines, f"- data: {_cell(result['licence'])}", ""]


def _references(result: Mapping[str, Any]) -> list[str]:
    if not result["references"]:
        return []
    labels = {measure["key"]: measure["label"] for measure in result["measures"]}
    lines = [f"Published on {result['dataset']}:{result['split']}:", ""]
    lines += ["| system | measure | value | source |", "| --- | --- | ---: | --- |"]
    for row in result["references"]:
        source = f"{row['source']}; {row['note']}" if row["note"] else row["source"]
        cells = (row["system"], labels[row["measure"]], f"{row['value']:.1f}", source)
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return [*lines, ""]


def _measured(found: Mapping[str, float | None] | None, percent: bool) -> str:
    if found is None:
        return "–"
    bounds = interval(found, percent)
    return number(found["value"], percent) + (f" ({bounds})" if bounds else "")


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
