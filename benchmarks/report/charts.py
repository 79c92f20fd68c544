"""Bar charts and tables of a report, as HTML without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from benchmarks.report.browser import link
from benchmarks.report.text import display_name, interval, number
from benchmarks.scores import MODEL

Value = Mapping[str, float | None]

Samples = tuple[str, Mapping[str, str]]
"""A shelf, and what `benchmarks.report.browser.link` shows of it."""


@dataclass(frozen=True)
class Bar:
    """A row of a chart: ``kind`` is ``model``, ``other`` or ``published``."""

    label: str
    value: Value
    kind: str = "other"
    beside: str = ""
    samples: Samples | None = None


def bars(rows: Sequence[Bar], percent: bool) -> str:
    """Bars from 0 to 1 with their intervals; values that are missing are left out."""
    cells = []
    for row in rows:
        value, low, high = row.value["value"], row.value["low"], row.value["high"]
        if value is None:
            continue
        whisker = ""
        if low is not None and high is not None:
            left, right = _percent(low), _percent(high)
            whisker = f'<span class="whisker" style="left:{left:.2f}%;width:{right - left:.2f}%"></span>'
        beside = f' <span class="soft small">{escape(row.beside)}</span>' if row.beside else ""
        cells.append(
            f'<span class="{"strong" if row.kind == "model" else "soft"}">{escape(row.label)}{beside}</span>'
            f'<span class="track {row.kind}-bar">'
            f'<span class="fill" style="width:{_percent(value):.2f}%"></span>{whisker}</span>'
            f'<span class="value">{_linked(number(value, percent), row.samples)}</span>'
        )
    return f'<div class="bars">{"".join(cells)}</div>'


def headline_bars(report: Mapping[str, Any], result: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    """The headline measure of the model, of baselines, and of papers on the same split."""
    rows = [
        Bar(display_name(report, name), found["values"][head["key"]], "model" if name == MODEL else "other")
        for name, found in result["predictors"].items()
        if head["key"] in found["values"]
    ]
    scale = 100 if head["percent"] else 1
    rows += [
        Bar(
            row["system"],
            {"value": row["value"] / scale, "low": None, "high": None},
            "published",
            "published",
        )
        for row in result["references"]
        if row["measure"] == head["key"]
    ]
    return f"<h3>{escape(head['label'])}, with 95 % interval over videos</h3>{bars(rows, head['percent'])}"


def predictor_table(report: Mapping[str, Any], result: Mapping[str, Any], shelf: str) -> str:
    """All measures of all predictors, with n and errors; numbers lead to the samples of a shelf."""
    rows = []
    for name, found in result["predictors"].items():
        cells = "".join(
            _td(found["values"].get(m["key"]), m["percent"], (shelf, {"sort": f"{name}.{m['key']}"}))
            for m in result["measures"]
        )
        css = ' class="model"' if name == MODEL else ""
        errors = str(found["errors"])
        if found["errors"] and name == MODEL:
            errors = link(shelf, errors, {"sort": f"{name}.{result['headline']}", "errors": "1"})
        counts = f"<td>{result['n']}</td><td>{errors}</td>"
        rows.append(f"<tr{css}><th>{escape(display_name(report, name))}</th>{counts}{cells}</tr>")
    return _table(_header("predictor", result["measures"], ("n", "errors")), rows)


def reference_table(result: Mapping[str, Any]) -> str:
    """What papers report on this split, with sources."""
    if not result["references"]:
        return ""
    labels = {measure["key"]: measure["label"] for measure in result["measures"]}
    rows = "".join(
        f"<tr><th>{escape(row['system'])}</th><td>{escape(labels[row['measure']])}</td>"
        f"<td>{row['value']:.1f}</td><td class='source'>{escape(row['source'])}"
        f"{'. ' + escape(row['note'].capitalize()) + '.' if row['note'] else ''}</td></tr>"
        for row in result["references"]
    )
    head = (
        "<thead><tr><th>system</th><th>measure</th><th>value</th><th class='source'>source</th></tr></thead>"
    )
    return (
        f"<details><summary>Published on {escape(result['dataset'])}:{escape(result['split'])}</summary>"
        f'<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div></details>'
    )


def breakdown(result: Mapping[str, Any], head: Mapping[str, Any], shelf: str) -> str:
    """A chart of the headline for each tag, then all measures in a table; numbers lead to samples."""
    if not result["breakdown"]:
        return ""
    charts, tables = [], []
    for tag, groups in result["breakdown"].items():
        rows = [
            Bar(
                g["value"],
                g["values"][head["key"]],
                "model",
                f"n {g['n']}",
                (shelf, {"sort": f"{MODEL}.{head['key']}", "tag": tag, "value": g["value"]}),
            )
            for g in groups
        ]
        charts.append(f'<div class="card"><h3>{escape(tag)}</h3>{bars(rows, head["percent"])}</div>')
        lines = [
            f'<tr><th>{escape(group["value"])} <span class="soft small">n {group["n"]}</span></th>'
            + "".join(
                _td(
                    group["values"][m["key"]],
                    m["percent"],
                    (shelf, {"sort": f"{MODEL}.{m['key']}", "tag": tag, "value": group["value"]}),
                )
                for m in result["measures"]
            )
            + "</tr>"
            for group in groups
        ]
        tables.append(_table(_header(tag, result["measures"]), lines))
    return (
        f"<h3>{escape(head['label'])} by kind of sample</h3>"
        f'<div class="breakdown">{"".join(charts)}</div>'
        f"<details><summary>All measures by kind of sample</summary>{''.join(tables)}</details>"
    )


def _percent(value: float) -> float:
    return min(max(value, 0.0), 1.0) * 100


def _header(first: str, measures: Sequence[Mapping[str, Any]], more: Sequence[str] = ()) -> str:
    cells = "".join(f"<th>{name}</th>" for name in more)
    cells += "".join(f'<th title="{escape(m["help"])}">{escape(m["label"])}</th>' for m in measures)
    return f"<thead><tr><th>{escape(first)}</th>{cells}</tr></thead>"


def _table(head: str, rows: Sequence[str]) -> str:
    return f'<div class="scroll"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def _linked(text: str, samples: Samples | None) -> str:
    return text if samples is None else link(samples[0], text, samples[1])


def _td(value: Value | None, percent: bool, samples: Samples) -> str:
    if value is None or value["value"] is None:
        return "<td>–</td>"
    shown = _linked(number(value["value"], percent), samples)
    return f"<td>{shown}<small>{interval(value, percent)}</small></td>"
