"""The report as one HTML file that loads nothing else: no script, no font, no picture from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from benchmarks.report.pictures import PALETTE, Strip, strip
from benchmarks.report.text import display_name, interval, number, scope
from benchmarks.scores import MODEL, UnitScores
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.types import GroundedText

_KINDS = (("best", "Best"), ("worst", "Worst"), ("random", "Drawn at random"))


def page(report: Mapping[str, Any], scores: Sequence[UnitScores]) -> str:
    """The whole page.

    Args:
        report: as :func:`benchmarks.report.build.build` made it.
        scores: what it was made from, for pictures.
    """
    sections = [
        _section(report, result, unit) for result, unit in zip(report["results"], scores, strict=True)
    ]
    style = files("benchmarks.report").joinpath("style.css").read_text(encoding="utf-8")
    name = escape(str(report["model"]))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name} · grounding report</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{name}</h1>
<p class="soft">{_summary(report)}</p>
<div class="cards">{"".join(_card(report, i) for i in range(len(report["results"])))}</div>
{"".join(sections)}
{_making(report)}
</main>
</body>
</html>
"""


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
        f'<p class="soft small">{beside}</p></a>'
    )


def _section(report: Mapping[str, Any], result: Mapping[str, Any], scores: UnitScores) -> str:
    index = report["results"].index(result)
    return "".join(
        (
            f'<section id="r{index}"><h2>{escape(result["title"])}</h2>',
            f'<p class="soft">{escape(result["dataset"])}:{escape(result["split"])} · {scope(result)}</p>',
            _bars(report, result),
            _table(report, result),
            _failures(result),
            "".join(f'<p class="soft small">{escape(note)}</p>' for note in result["notes"]),
            _breakdown(result),
            _examples(result, scores),
            _facts(
                "What the columns mean",
                {m["label"]: m["help"] for m in result["measures"]} | result["protocol"],
            ),
            "</section>",
        )
    )


def _bars(report: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    head = _head(result)
    rows = []
    for name, found in result["predictors"].items():
        value = found["values"].get(head["key"])
        if value is None or value["value"] is None:
            continue
        whisker = ""
        if value["low"] is not None:
            left, right = _percent(value["low"]), _percent(value["high"])
            whisker = f'<span class="whisker" style="left:{left:.2f}%;width:{right - left:.2f}%"></span>'
        rows.append(
            f'<span class="{"strong" if name == MODEL else "soft"}">'
            f"{escape(display_name(report, name))}</span>"
            f'<span class="track{" model-bar" if name == MODEL else ""}">'
            f'<span class="fill" style="width:{_percent(value["value"]):.2f}%"></span>{whisker}</span>'
            f'<span class="value">{number(value["value"], head["percent"])}</span>'
        )
    title = f"<h3>{escape(head['label'])}, with 95 % interval over videos</h3>"
    return f'{title}<div class="bars">{"".join(rows)}</div>'


def _percent(value: float) -> float:
    return min(max(value, 0.0), 1.0) * 100


def _header(first: str, measures: Sequence[Mapping[str, Any]]) -> str:
    cells = "".join(f'<th title="{escape(m["help"])}">{escape(m["label"])}</th>' for m in measures)
    return f"<thead><tr><th>{escape(first)}</th>{cells}</tr></thead>"


def _table(report: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    rows = []
    for name, found in result["predictors"].items():
        cells = "".join(_td(found["values"].get(m["key"]), m["percent"]) for m in result["measures"])
        css = ' class="model"' if name == MODEL else ""
        rows.append(f"<tr{css}><th>{escape(display_name(report, name))}</th>{cells}</tr>")
    head, body = _header("", result["measures"]), "".join(rows)
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def _td(value: Mapping[str, float | None] | None, percent: bool) -> str:
    if value is None:
        return "<td>–</td>"
    return f"<td>{number(value['value'], percent)}<small>{interval(value, percent)}</small></td>"


def _failures(result: Mapping[str, Any]) -> str:
    errors = result["predictors"][MODEL]["errors"]
    if not errors:
        return ""
    rows = "".join(f"<dt>{escape(f['id'])}</dt><dd>{escape(f['error'])}</dd>" for f in result["failures"])
    return (
        f'<details open><summary class="failed">{errors} of {result["n"]} samples failed and count as misses'
        f"</summary><dl>{rows}</dl></details>"
    )


def _breakdown(result: Mapping[str, Any]) -> str:
    parts = []
    for tag, groups in result["breakdown"].items():
        rows = "".join(
            f'<tr><th>{escape(group["value"])} <span class="soft small">{group["n"]}</span></th>'
            + "".join(_td(group["values"][m["key"]], m["percent"]) for m in result["measures"])
            + "</tr>"
            for group in groups
        )
        parts.append(
            f'<h3>By {escape(tag)}</h3><div class="scroll"><table>{_header(tag, result["measures"])}'
            f"<tbody>{rows}</tbody></table></div>"
        )
    return "".join(parts)


def _examples(result: Mapping[str, Any], scores: UnitScores) -> str:
    samples = {sample.id: sample for sample in scores.unit.samples}
    head = _head(result)
    parts = []
    for kind, title in _KINDS:
        cards = [
            _example(
                samples[chosen["id"]], scores, f"{head['label']} {number(chosen['value'], head['percent'])}"
            )
            for chosen in result["examples"][kind]
        ]
        if cards:
            parts.append(f'<h3>{title}</h3><div class="examples">{"".join(cards)}</div>')
    return "".join(parts)


def _example(sample: Sample, scores: UnitScores, badge: str) -> str:
    truth = sample.load_truth()
    answer = scores.answers.get(sample.id)
    error = scores.predictors[MODEL].errors.get(sample.id)
    question = sample.query.text or "Describe the video."
    said = f'<p class="answer failed">{escape(error)}</p>' if error else ""
    if answer is not None:
        said += f'<p class="answer">{_coloured(answer)}</p>'
    expected = f'<p class="answer">{_coloured(truth.caption)}</p>' if truth.caption is not None else ""
    try:
        drawn = strip(sample, truth, answer)
        pictures = _frames(drawn, truth, answer)
    except GroundingError as gone:
        pictures = ("", f'<p class="soft small">No picture: {escape(str(gone))}</p>')
    return (
        f'<article class="card example"><header><p class="question">{escape(question)}</p>'
        f'<span class="badge">{escape(badge)}</span></header>'
        f'<span class="label">truth</span>{pictures[0]}{expected}'
        f'<span class="label">answer</span>{pictures[1]}{said}'
        f'<p class="soft small">{escape(sample.id)}</p></article>'
    )


def _frames(drawn: Strip, truth: Truth, answer: GroundedText | None) -> tuple[str, str]:
    rows = []
    for pictures, word in ((drawn.truth, "truth"), (drawn.answer, "answer")):
        images = "".join(
            f'<img src="{picture}" alt="{word}, frame {index}">'
            for picture, index in zip(pictures, drawn.indices, strict=True)
        )
        rows.append(f'<div class="frames">{images}</div>')
    if truth.interval is None:
        return rows[0], rows[1]
    seen = sorted({frame for track in (answer.tracks if answer else ()) for frame in track.visible()})
    found = (seen[0], seen[-1] + 1) if seen else None
    return rows[0] + _moment(truth.interval, drawn.length), rows[1] + _moment(found, drawn.length)


def _moment(interval: tuple[int, int] | None, length: int) -> str:
    if interval is None:
        return '<div class="moment"></div>'
    left, right = (100 * min(frame / length, 1.0) for frame in interval)
    text = f"frames {interval[0]} to {interval[1] - 1} of {length}"
    bar = f'<i style="left:{left:.1f}%;width:{right - left:.1f}%"></i>'
    return f'<div class="moment" title="{text}">{bar}</div>'


def _coloured(caption: GroundedText) -> str:
    """The text with each phrase underlined in the colour of its first track."""
    order = {track.id: place for place, track in enumerate(caption.tracks)}
    pieces, end = [], 0
    for span in sorted(caption.spans, key=lambda span: span.start):
        if span.start < end or not span.tracks or span.start == span.end:
            continue
        colour = "rgb({},{},{})".format(*PALETTE[order[span.tracks[0]] % len(PALETTE)])
        pieces.append(escape(caption.text[end : span.start]))
        pieces.append(f'<b style="--mark:{colour}">{escape(caption.phrase(span))}</b>')
        end = span.end
    return "".join(pieces) + escape(caption.text[end:])


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
