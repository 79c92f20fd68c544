"""The findings as one HTML file with pictures, worst samples first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from benchmarks.audit.findings import KINDS, Audited, Total, ranked, totals
from benchmarks.audit.pictures import draw
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.player.embed import phrases

SHOWN = 100
"""Samples with a card of their own; the rest is counted, and in ``findings.jsonl``."""
REASONS = 4
"""Faults of a sample that are told on its card."""
PICTURES = 3

Key = tuple[str, str, str, str]
"""(data set, split, task, sample id)."""


def page(audited: Sequence[Audited], samples: Mapping[Key, Sample]) -> str:
    """The whole page; it loads nothing else.

    Args:
        audited: from `benchmarks.audit.auditing.audit`.
        samples: where the pictures come from.
    """
    worst = ranked(audited)
    cards = "".join(
        _card(one, samples[one.dataset, one.split, one.task, one.sample]) for one in worst[:SHOWN]
    )
    left = len(worst) - SHOWN
    more = f'<p class="soft">{left} more in findings.jsonl.</p>' if left > 0 else ""
    style = files("benchmarks.report").joinpath("style.css").read_text(encoding="utf-8")
    listed = f'<h2>Worst first</h2><div class="examples">{cards}</div>{more}' if worst else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>Audit</h1>
<p class="soft">{len(worst)} of {len(audited)} samples have faults: reasons to look, not verdicts.</p>
{"".join(_total(total) for total in totals(audited))}
{listed}
<footer>{_meanings()}</footer>
</main>
</body>
</html>
"""


def _total(total: Total) -> str:
    rows = "".join(
        f'<tr><th title="{escape(KINDS[kind])}">{kind}</th><td>{count}</td>'
        f"<td>{100 * count / total.samples:.1f}%</td></tr>"
        for kind, count in total.kinds.items()
    )
    table = (
        '<div class="scroll"><table><thead><tr><th>fault</th><th>samples</th><th>share</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        if rows
        else ""
    )
    return (
        f"<h2>{escape(total.dataset)}:{escape(total.split)} · {escape(total.task)}</h2>"
        f'<p class="soft">{total.videos} videos, {total.samples} samples, {total.faulty} with faults</p>'
        f"{table}"
    )


def _card(one: Audited, sample: Sample) -> str:
    reasons = "".join(
        f'<p class="answer"><b class="failed" title="{escape(KINDS[fault.kind])}">{fault.kind}</b> '
        f"{escape(fault.reason)}</p>"
        for fault in one.faults[:REASONS]
    )
    if len(one.faults) > REASONS:
        reasons += f'<p class="soft small">and {len(one.faults) - REASONS} more</p>'
    try:
        truth = sample.load_truth()
    except GroundingError:
        truth = Truth()  # unreadable: the reasons say so
    said = escape(sample.query.text) if truth.caption is None else phrases(truth.caption)
    return (
        f'<article class="card example"><header><p class="question">{escape(one.sample)}</p>'
        f'<span class="badge" title="audit score">{one.score:.2f}</span></header>'
        f'{_pictures(one, sample, truth)}{reasons}<p class="answer soft">{said}</p>'
        f'<p class="soft small">{escape(one.dataset)}:{escape(one.split)} · {escape(one.task)}</p></article>'
    )


def _pictures(one: Audited, sample: Sample, truth: Truth) -> str:
    try:
        video = sample.open_video()
        shown = _shown(one, truth, len(video))
        tracks = [t for t in truth.tracks if (t.size, len(t)) == (video.size, len(video))]
        drawn = [
            draw(frame, index, tracks, truth.boxes)
            for index, frame in zip(shown, video.frames(shown), strict=True)
        ]
    except GroundingError:
        return '<p class="soft small">No picture: the video can’t be read.</p>'
    images = "".join(
        f'<figure><img src="{picture}" alt="frame {index}"><figcaption class="soft small">frame {index}'
        "</figcaption></figure>"
        for picture, index in zip(drawn, shown, strict=True)
    )
    return f'<div class="frames">{images}</div>'


def _shown(one: Audited, truth: Truth, length: int) -> list[int]:
    """Frames of the worst fault that names some, else frames in which there is truth."""
    named = next((fault.frames for fault in one.faults if fault.frames), ())
    seen = {frame for track in truth.tracks for frame in track.visible()} | set(truth.boxes)
    frames = sorted(frame for frame in set(named) or seen or range(length) if 0 <= frame < length)
    frames = frames or list(range(length))
    places = [k * (len(frames) - 1) // max(PICTURES - 1, 1) for k in range(PICTURES)]
    chosen = sorted({frames[place] for place in places})
    # What happens between two frames shows best with the frame before them.
    return sorted({max(chosen[0] - 1, 0), *chosen}) if len(chosen) < PICTURES else chosen


def _meanings() -> str:
    rows = "".join(f"<dt>{kind}</dt><dd>{escape(meaning)}</dd>" for kind, meaning in KINDS.items())
    return f"<details><summary>What the faults are</summary><dl>{rows}</dl></details>"
