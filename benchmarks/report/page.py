"""The report as one HTML file that loads nothing else: no script, no font, no picture from outside.

Summary, tables and charts are plain HTML; the samples are `benchmarks.report.browser`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from benchmarks.report import browser
from benchmarks.report.charts import breakdown, headline_bars, predictor_table, reference_table
from benchmarks.report.profile import profile_section
from benchmarks.report.text import display_name, number, scope
from benchmarks.scores import MODEL, UnitScores
from benchmarks.stats import per_sample


def page(
    report: Mapping[str, Any], scores: Sequence[UnitScores], megabytes: int = browser.MEGABYTES
) -> Iterator[str]:
    """The whole page, in parts.

    Args:
        report: as `benchmarks.report.build.build` made it.
        scores: what it was made from, for the samples.
        megabytes: room for the samples' films.
    """
    shelves = [_shelf(report, index, unit) for index, unit in enumerate(scores)]
    name = escape(str(report["model"]))
    yield opening(f"{name} · grounding report")
    yield f'<h1>{name}</h1><p class="soft">{_summary(report)}</p>'
    yield f'<div class="cards">{"".join(_card(report, i) for i in range(len(report["results"])))}</div>'
    for result, shelf in zip(report["results"], shelves, strict=True):
        yield _section(report, result, shelf)
    yield f"{profile_section(report)}{_making(report)}</main>"
    yield from browser.data(shelves, megabytes)
    yield "</body></html>\n"


def opening(title: str) -> str:
    """Everything before a page's first heading.

    Args:
        title: HTML.
    """
    style = files("benchmarks.report").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style>{browser.head()}</head><body><main>"
    )


def _shelf(report: Mapping[str, Any], index: int, scores: UnitScores) -> browser.Shelf:
    measures = [m for m in scores.task.all_measures if m.key in scores.predictors[MODEL].counts]
    measures.sort(key=lambda measure: measure.key != scores.task.headline)
    columns = [
        browser.Column(
            f"{name}.{measure.key}",
            measure.label if name == MODEL else f"{measure.label} of {display_name(report, name)}",
            measure.percent,
            per_sample(measure, found.counts[measure.key]),
        )
        for name, found in scores.predictors.items()
        for measure in measures
        if measure.key in found.counts
    ]
    answers = browser.Answers("answer", scores.predictions, scores.predictors[MODEL].errors)
    return browser.Shelf(f"r{index}", scores.unit.samples, [answers], columns, scores.facts)


def _summary(report: Mapping[str, Any]) -> str:
    results = report["results"]
    errors = sum(result["predictors"][MODEL]["errors"] for result in results)
    failed = f" {errors} failed and count as misses." if errors else " None failed."
    return f"{sum(result['n'] for result in results)} questions scored.{failed}"


def _head(result: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(m for m in result["measures"] if m["key"] == result["headline"])
    return found


def _card(report: Mapping[str, Any], index: int) -> str:
    result = report["results"][index]
    head = _head(result)
    value = result["predictors"][MODEL]["values"][head["key"]]
    others = [
        (found["values"][head["key"]]["value"], name)
        for name, found in result["predictors"].items()
        if name != MODEL and found["values"].get(head["key"], {}).get("value") is not None
    ]
    best = max(others, default=None)
    beside = f"best baseline {number(best[0], head['percent'])} ({escape(best[1])})" if best else ""
    return (
        f'<a class="card" href="#r{index}"><p class="soft small">{escape(result["title"])}<br>'
        f"{escape(result['dataset'])}:{escape(result['split'])}</p>"
        f'<p class="big">{number(value["value"], head["percent"])}'
        f'<span class="unit">{escape(head["label"])}</span></p>'
        f'<p class="soft small">{beside}<br>{_counts(result)}</p></a>'
    )


def _counts(result: Mapping[str, Any]) -> str:
    errors = result["predictors"][MODEL]["errors"]
    css = ' class="failed"' if errors else ""
    return f"n {result['n']} · <span{css}>{errors} error{'' if errors == 1 else 's'}</span>"


def _section(report: Mapping[str, Any], result: Mapping[str, Any], shelf: browser.Shelf) -> str:
    head = _head(result)
    return "".join(
        (
            f'<section id="{shelf.key}"><h2>{escape(result["title"])}</h2>',
            f'<p class="soft">{escape(result["dataset"])}:{escape(result["split"])} · {scope(result)}</p>',
            headline_bars(report, result, head),
            predictor_table(report, result, shelf.key),
            reference_table(result),
            _failures(result),
            "".join(f'<p class="soft small">{escape(note)}</p>' for note in result["notes"]),
            breakdown(result, head, shelf.key),
            browser.place(shelf, result["title"]),
            _facts(
                "What the columns mean",
                {m["label"]: m["help"] for m in result["measures"]} | result["protocol"],
            ),
            "</section>",
        )
    )


def _failures(result: Mapping[str, Any]) -> str:
    errors = result["predictors"][MODEL]["errors"]
    if not errors:
        return ""
    rows = "".join(f"<dt>{escape(f['id'])}</dt><dd>{escape(f['error'])}</dd>" for f in result["failures"])
    return (
        f'<details open><summary class="failed">{errors} of {result["n"]} samples failed and count as misses'
        f"</summary><dl>{rows}</dl></details>"
    )


def _facts(title: str, facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<dt>{escape(str(key))}</dt><dd>{escape(str(value))}</dd>" for key, value in facts.items()
    )
    return f"<details><summary>{escape(title)}</summary><dl>{rows}</dl></details>"


def _making(report: Mapping[str, Any]) -> str:
    licences = {f"{r['dataset']}:{r['split']}": r["licence"] for r in report["results"]}
    return (
        "<footer>"
        + _facts("What made the predictions", report["fingerprint"])
        + _facts("What scored them", report["platform"])
        + _facts("Data", licences)
        + "</footer>"
    )
