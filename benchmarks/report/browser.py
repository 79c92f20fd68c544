"""The sample browser of a report: every sample's numbers, and films with truth and answers as far as room is.

The page holds one index a shelf, one record a sample and one film a video, each in a ``<script>`` that is
only read when its sample comes into view. Numbers and masks are deflated; pictures are WebP already.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files
from typing import Any

from benchmarks.judging import available_cores
from benchmarks.store import Prediction
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.player.embed import in_script, palette, script, style
from grounding_core.player.film import Film, Json, blank, film, layer
from grounding_core.types import GroundedText

MEGABYTES = 30
"""How large films and masks of a report may become, if nobody says otherwise."""

LONGEST = 240
MOST_FRAMES = 24
FEWEST_FRAMES = 3
# What a frame takes on the page, measured: pictures once a video, masks once a sample.
PICTURE_BYTES = 4500
MASK_BYTES = 350


@dataclass(frozen=True)
class Column:
    """A number of each sample that can be sorted by; None where a sample has none."""

    key: str
    label: str
    percent: bool
    values: Sequence[float | None]


@dataclass(frozen=True)
class Answers:
    """What one model answered: sample id -> prediction, and what went wrong."""

    title: str
    predictions: Mapping[str, Prediction]
    errors: Mapping[str, str]


@dataclass(frozen=True)
class Shelf:
    """Samples to browse.

    Attributes:
        key: of its section in the page.
        samples: in the order of the columns' values.
        answers: shown side by side, after the truth.
        columns: the first is what samples are sorted by at first, worst first.
        tags: sample id -> facts to filter by.
    """

    key: str
    samples: Sequence[Sample]
    answers: Sequence[Answers]
    columns: Sequence[Column]
    tags: Mapping[str, Mapping[str, str]]


def head() -> str:
    """Scripts and styles, once a page."""
    own = files("benchmarks.report")
    browser = own.joinpath("browser.js").read_text(encoding="utf-8")
    sheet = own.joinpath("browser.css").read_text(encoding="utf-8")
    return (
        f"<style>{style()}{sheet}</style>"
        f"<script>{script()}\nconst PALETTE = {in_script(palette())};\n{browser}</script>"
    )


def place(shelf: Shelf, title: str) -> str:
    """Where a shelf's browser appears; ``title`` says of what, to those who listen."""
    return (
        f'<h3 id="{shelf.key}-samples">Samples</h3>'
        f'<div class="browser" data-shelf="{shelf.key}" data-title="{escape(title)}">'
        "<noscript>The samples need JavaScript; tables and charts do not.</noscript></div>"
    )


def link(shelf: str, text: str, facts: Mapping[str, str]) -> str:
    """A number that leads to the samples it is made of.

    Args:
        shelf: key of the shelf.
        text: HTML of the link.
        facts: ``sort``, a column's key; perhaps ``down`` (best first), ``errors``, or ``tag`` and ``value``.
    """
    return f'<a class="number" href="#{shelf}" data-browse="{escape(json.dumps(facts))}">{text}</a>'


def data(shelves: Sequence[Shelf], megabytes: int) -> Iterator[str]:
    """The scripts with the data, a piece at a time; worst samples first, until the room is used up.

    Args:
        shelves: of the page.
        megabytes: room for films and masks.
    """
    room = megabytes * 10**6
    videos = sum(len({sample.video_id for sample in shelf.samples}) for shelf in shelves)
    samples = sum(len(shelf.samples) for shelf in shelves)
    afford = int(room / max(1, videos * PICTURE_BYTES + samples * MASK_BYTES))
    frames = min(MOST_FRAMES, max(FEWEST_FRAMES, afford))
    total = max(1, samples)
    for shelf in shelves:
        share = room * len(shelf.samples) / total
        kept = 0
        for pieces, count in _films(shelf, frames):
            if share < sum(map(len, pieces)):
                break
            share -= sum(map(len, pieces))
            kept += count
            yield from pieces
        yield _packed(f"{shelf.key}-index", _index(shelf, frames, kept))


def _index(shelf: Shelf, frames: int, kept: int) -> Json:
    tags: dict[str, Any] = {}
    for name in sorted({name for facts in shelf.tags.values() for name in facts}):
        values = [shelf.tags[sample.id].get(name, "not told") for sample in shelf.samples]
        known = sorted(set(values))
        tags[name] = {"known": known, "rows": [known.index(value) for value in values]}
    videos = list(dict.fromkeys(sample.video_id for sample in shelf.samples))
    numbers = {video: number for number, video in enumerate(videos)}
    return {
        "ids": [sample.id for sample in shelf.samples],
        "questions": [sample.query.text or "Describe the video." for sample in shelf.samples],
        "films": [numbers[sample.video_id] for sample in shelf.samples],
        "errors": {
            row: next(each.errors[sample.id] for each in shelf.answers if sample.id in each.errors)
            for row, sample in enumerate(shelf.samples)
            if any(sample.id in each.errors for each in shelf.answers)
        },
        "tags": tags,
        "columns": [
            {
                "key": column.key,
                "label": column.label,
                "percent": column.percent,
                "values": [None if value is None else round(value, 4) for value in column.values],
            }
            for column in shelf.columns
        ],
        "frames": frames,
        "kept": kept,
    }


def _packed(id: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return _script(id, base64.b64encode(zlib.compress(text, 6)).decode("ascii"))


def _script(id: str, text: str) -> str:
    return f'<script type="text/plain" id="{escape(id)}">{text}</script>\n'


def _films(shelf: Shelf, frames: int) -> Iterator[tuple[list[str], int]]:
    """Scripts of one video after the other and how many samples they show; the worst sample's first."""
    rows: dict[str, list[int]] = {}
    for row, sample in enumerate(shelf.samples):
        rows.setdefault(sample.video_id, []).append(row)
    values = shelf.columns[0].values
    worst = {
        video: min(-1.0 if (value := values[row]) is None else value for row in found)
        for video, found in rows.items()
    }
    numbers = {video: number for number, video in enumerate(rows)}
    order = sorted(rows, key=lambda video: (worst[video], video))
    workers = available_cores()
    with ThreadPoolExecutor(workers) as pool:
        # A few at a time, so that what is beyond the room is not made.
        waiting: deque[Future[tuple[list[str], int]]] = deque()
        for video in order:
            waiting.append(pool.submit(_video, shelf, numbers[video], rows[video], frames))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _video(shelf: Shelf, number: int, rows: Sequence[int], frames: int) -> tuple[list[str], int]:
    samples = [shelf.samples[row] for row in rows]
    truths = [sample.load_truth() for sample in samples]
    shown = _film(samples[0], truths, frames)
    if shown is None:
        return [], 0
    pieces = [_script(f"{shelf.key}-f{number}", json.dumps(shown.to_json()))]
    for row, sample, truth in zip(rows, samples, truths, strict=True):
        layers = [_truth(shown, truth), *(_answer(shown, truth, each, sample.id) for each in shelf.answers)]
        pieces.append(_packed(f"{shelf.key}-s{row}", layers))
    return pieces, len(rows)


def _film(sample: Sample, truths: Sequence[Truth], frames: int) -> Film | None:
    must = {index for truth in truths for index in truth.annotated or ()}
    try:
        return film(sample.open_video(), frames=frames, longest=LONGEST, must=sorted(must))
    except GroundingError:
        tracks = [track for truth in truths for track in truth.tracks]
        return blank(tracks[0].size, len(tracks[0]), frames=frames, longest=LONGEST) if tracks else None


def _truth(shown: Film, truth: Truth) -> Json:
    said = truth.caption or GroundedText("")
    tracks = truth.tracks or said.tracks
    # Annotations number objects by the data set; small numbers have colours that differ.
    numbers = {track.id: number for number, track in enumerate(tracks)}
    told = GroundedText(
        said.text,
        tuple(replace(span, tracks=tuple(numbers[id] for id in span.tracks)) for span in said.spans),
        tuple(replace(track, id=numbers[track.id]) for track in tracks),
    )
    return layer(shown, "truth", told, boxes=truth.boxes, moment=truth.interval)


def _answer(shown: Film, truth: Truth, answers: Answers, id: str) -> Json:
    prediction = answers.predictions.get(id)
    error = answers.errors.get(id, "")
    answer = None if prediction is None else prediction.answer
    if answer is None:
        return layer(shown, answers.title, GroundedText(""), note=error or "not predicted")
    seen = sorted({frame for track in answer.tracks for frame in track.visible()})
    moment = (seen[0], seen[-1] + 1) if seen and truth.interval is not None else None
    try:
        return layer(shown, answers.title, answer, moment=moment, note=error)
    except GroundingError as misfit:
        return layer(shown, answers.title, GroundedText(answer.text), note=error or str(misfit))
