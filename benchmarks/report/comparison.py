"""A comparison of two runs for a terminal of 80 columns, as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.report import browser
from benchmarks.report.page import opening

FLIPS_SHOWN = 5


def _number(value: float | None, percent: bool, *, signed: bool = False) -> str:
    if value is None:
        return "–"
    text = f"{100 * value:+.1f}" if percent else f"{value:+.3f}"
    return text if signed else text.lstrip("+")


def _row(measure: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = (_number(measure[key], measure["percent"], signed=True) for key in ("low", "high"))
    return (
        str(measure["label"]),
        _number(measure["a"], measure["percent"]),
        _number(measure["b"], measure["percent"]),
        _number(measure["difference"], measure["percent"], signed=True),
        f"{low} to {high}" if measure["low"] is not None else "",
    )


def _certain(measure: Mapping[str, Any]) -> bool:
    """Whether the interval leaves out 0."""
    return measure["low"] is not None and (measure["low"] > 0 or measure["high"] < 0)


_HEADER = ("", "A", "B", "B - A", "95 % interval")


def _scope(result: Mapping[str, Any]) -> str:
    return f"{result['n']} samples, {result['videos']} videos"


def _left_out(result: Mapping[str, Any]) -> list[str]:
    """Why measures that both runs have are not compared."""
    facts: dict[tuple[str, str, str], list[str]] = {}
    for measure in result["left_out"]:
        facts.setdefault((measure["protocol"], measure["a"], measure["b"]), []).append(measure["label"])
    return [
        f"Not compared: {', '.join(labels)}. Another {protocol}: {a} in A, {b} in B."
        for (protocol, a, b), labels in facts.items()
    ]


def _flipped(
    found: Mapping[str, Any], result: Mapping[str, Any]
) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
    crossing = f"{result['headline']} crosses {_number(found['threshold'], result['percent'])}"
    return [
        (f"{len(result['gained'])} gained by B ({crossing})", result["gained"]),
        (f"{len(result['lost'])} lost by B", result["lost"]),
    ]


def _change(row: Mapping[str, Any], percent: bool) -> str:
    return f"{row['id']}: {_number(row['a'], percent)} → {_number(row['b'], percent)}"


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print the tables and the samples that changed most."""
    console.print(Text(f"A: {found['a']['model']}  {found['a']['run']}", style="dim"), soft_wrap=True)
    console.print(Text(f"B: {found['b']['model']}  {found['b']['run']}", style="dim"), soft_wrap=True)
    for result in found["results"]:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for place, name in enumerate(_HEADER):
            table.add_column(name, justify="right" if place else "left")
        for measure in result["measures"]:
            table.add_row(*_row(measure), style="bold" if _certain(measure) else "dim")
        console.print()
        console.print(Text(f"{result['title']} · {result['data']}", style="bold"))
        console.print(Text(f"{_scope(result)}; bold: the interval leaves out 0", style="dim"))
        console.print(table)
        for line in _left_out(result):
            console.print(line, highlight=False, markup=False, style="yellow")
        for title, rows in _flipped(found, result):
            console.print(title, highlight=False, markup=False)
            for row in rows[:FLIPS_SHOWN]:
                console.print(Text(f"  {_change(row, result['percent'])}", style="dim"))


def markdown(found: Mapping[str, Any]) -> str:
    """The comparison as Markdown, with every flipped sample."""
    lines = [f"# {found['a']['model']} against {found['b']['model']}", ""]
    lines += [
        f"A: `{found['a']['run']}`, B: `{found['b']['run']}`. Intervals are 95 % over videos, paired.",
        "",
    ]
    for result in found["results"]:
        lines += [f"## {result['title']} · {result['data']}", "", f"{_scope(result)}.", ""]
        lines += ["| " + " | ".join(_HEADER) + " |", "| --- | ---: | ---: | ---: | ---: |"]
        for measure in result["measures"]:
            cells = [cell.replace("|", "\\|") for cell in _row(measure)]
            if _certain(measure):
                cells[3] = f"**{cells[3]}**"
            lines.append("| " + " | ".join(cells) + " |")
        lines += [text for line in _left_out(result) for text in ("", line)]
        for title, rows in _flipped(found, result):
            lines += ["", f"{title}:", "", *(f"- {_change(row, result['percent'])}" for row in rows)]
        lines.append("")
    return "\n".join(lines)


def page(found: Mapping[str, Any], shelves: Mapping[str, browser.Shelf], megabytes: int) -> Iterator[str]:
    """The comparison as one HTML file that loads nothing else, in parts.

    Args:
        found: what `benchmarks.compare.comparison` found.
        shelves: label of a result -> samples to browse; a result without them has tables only.
        megabytes: room for the samples' films.
    """
    title = escape(f"{found['a']['model']} against {found['b']['model']}")
    yield opening(title)
    runs = escape(f"A: {found['a']['run']} · B: {found['b']['run']}")
    yield f'<h1>{title}</h1><p class="soft">{runs}</p>'
    for result in found["results"]:
        yield _section(found, result, shelves.get(result["label"]))
    yield "</main>"
    yield from browser.data(list(shelves.values()), megabytes)
    yield "</body></html>\n"


def _section(found: Mapping[str, Any], result: Mapping[str, Any], shelf: browser.Shelf | None) -> str:
    rows = "".join(
        f"<tr{' class=model' if _certain(measure) else ''}><th>{cells[0]}</th>"
        + "".join(f"<td>{cell}</td>" for cell in cells[1:])
        + "</tr>"
        for measure in result["measures"]
        for cells in [[escape(cell) for cell in _row(measure)]]
    )
    head = "".join(f"<th>{name or 'measure'}</th>" for name in _HEADER)
    left_out = "".join(f"<p>{escape(line)}</p>" for line in _left_out(result))
    flips = "".join(
        f"<details><summary>{escape(title)}</summary><ul>"
        + "".join(f"<li>{escape(_change(row, result['percent']))}</li>" for row in flipped)
        + "</ul></details>"
        for title, flipped in _flipped(found, result)
    )
    samples = (
        f"{_leads(result, shelf.key)}{browser.place(shelf, result['title'])}" if shelf is not None else ""
    )
    return (
        f"<section><h2>{escape(result['title'])}</h2>"
        f'<p class="soft">{escape(result["data"])} · {_scope(result)}; marked: the interval leaves out 0</p>'
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"{left_out}{flips}{samples}</section>"
    )


def _leads(result: Mapping[str, Any], shelf: str) -> str:
    """Links to the samples one wants to see first."""
    chosen: dict[str, dict[str, str]] = {
        "largest changes for the worse": {},
        "largest changes for the better": {"down": "1"},
    }
    for word, order in (("lost", {}), ("gained", {"down": "1"})):
        if result[word]:
            chosen[f"{len(result[word])} {word} by B"] = {**order, "tag": "flipped", "value": word}
    items = (browser.link(shelf, text, {"sort": "change", **facts}) for text, facts in chosen.items())
    return f"<p>{' · '.join(items)}</p>"
