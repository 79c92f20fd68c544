"""The report as one HTML file that loads nothing else: no script, no font, no picture from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from benchmarks.report.charts import breakdown, headline_bars, predictor_table, reference_table
from benchmarks.report.pictures import PALETTE, Strip, strip
from benchmarks.report.profile import profile_section
from benchmarks.report.text import number, scope
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
{profile_section(report)}
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
        f'<p class="soft small">{beside}<br>{_counts(result)}</p></a>'
    )


def _counts(result: Mapping[str, Any]) -> str:
    errors = result["predictors"][MODEL]["errors"]
    css = ' class="failed"' if errors else ""
    return f"n {result['n']} · <span{css}>{errors} error{'' if errors == 1 else 's'}</span>"


def _section(report: Mapping[str, Any], result: Mapping[str, Any], scores: UnitScores) -> str:
    index = report["results"].index(result)
    head = _head(result)
    return "".join(
        (
            f'<section id="r{index}"><h2>{escape(result["title"])}</h2>',
            f'<p class="soft">{escape(result["dataset"])}:{escape(result["split"])} · {scope(result)}</p>',
            headline_bars(report, result, head),
            predictor_table(report, result),
            reference_table(result),
            _failures(result),
            "".join(f'<p class="soft small">{escape(note)}</p>' for note in result["notes"]),
            breakdown(result, head),
            _examples(result, scores),
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
    prediction = scores.predictions.get(sample.id)
    answer = None if prediction is None else prediction.answer
    error = scores.predictors[MODEL].errors.get(sample.id)
    question = sample.query.text or "Describe the video."
    said = f'<p class="answer failed">{escape(error)}</p>' if error else ""
    if answer is not None:
        said += f'<p class="answer">{coloured(answer)}</p>'
    expected = f'<p class="answer">{coloured(truth.caption)}</p>' if truth.caption is not None else ""
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


def coloured(caption: GroundedText) -> str:
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
