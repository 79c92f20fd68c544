"""A reviewed set: written anew in the layout of the video GCG set, and scores that training filters on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.annotate.items import digest
from benchmarks.annotate.layout import FRAMES, finish, placed, rles, write_frames
from benchmarks.datasets.markup import Caption
from benchmarks.datasets.video_gcg import VideoGCG
from benchmarks.disk import replace_text
from benchmarks.review.reviewing import Review, ReviewItem
from grounding_core.datasets import known_split
from grounding_core.errors import DataError
from grounding_core.types import GroundedText


def export(review: Review, out: Path, split: str = "train") -> dict[str, Any]:
    """Write what was not dropped, as it is after all changes.

    Captions become ``video_gcg/`` below ``out``, with the questions about the same videos. ``scores.json``
    holds 1 for every item that was dropped and 0 for every one that was accepted, whatever its task: with
    ``training.audit`` the set that was reviewed can be trained on as it lies.

    Args:
        review: the items.
        out: data root to write below.
        split: name of the split written, one of those that ``video-gcg`` reads.

    Returns:
        the manifest.

    Raises:
        DataError: nothing is left, or the disk refuses.
    """
    known_split("video-gcg", VideoGCG, split)
    kept = [item for item in review.items if review.status(item) != "drop"]
    captions = [item for item in kept if item.task == "gcg" and item.sample.query.kind == "describe"]
    asked: dict[str, list[ReviewItem]] = {}
    for item in kept:
        if item.task == "gcg" and item.sample.query.kind != "describe":
            asked.setdefault(_video(item), []).append(item)
    outcomes = []
    for item in sorted(captions, key=lambda item: item.key):
        outcome = out / "review" / split / f"{digest(item.key)}.json"
        replace_text(outcome, json.dumps(_outcome(review, item, asked.get(_video(item), []), out, split)))
        outcomes.append(outcome)
    replace_text(out / "scores.json", json.dumps(scores(review), indent=1) + "\n")
    counts = Counter(review.status(item) for item in review.items)
    facts = {"source": "review", "licences": {}, "settings": {}, "review": dict(counts)}
    if not outcomes:
        raise DataError("No caption is left to write.", "Expressions alone: train on them with scores.json.")
    return finish(out, split, outcomes, facts)


def scores(review: Review) -> dict[str, dict[str, float]]:
    """``{"<data set>/<task>": {sample id: score}}``: verdicts, and the audit's scores where there is none."""
    verdicts = {"drop": 1.0, "accept": 0.0}
    found: dict[str, dict[str, float]] = {}
    for item in review.items:
        kept = found.setdefault(f"{item.dataset}/{item.task}", {})
        kept[item.sample.id] = verdicts.get(review.status(item), item.score)
    return found


def _video(item: ReviewItem) -> str:
    return f"{item.dataset}/{item.split}/{item.sample.video_id}"


def _outcome(
    review: Review, item: ReviewItem, questions: list[ReviewItem], out: Path, split: str
) -> dict[str, Any]:
    text = review.text(item)
    video = item.sample.open_video()
    name = f"{digest(item.key)[:12]}"
    names = write_frames(video, out / FRAMES / split / name)
    triplets = []
    for one in questions:
        answer = _shared(review.text(one), text)
        form = one.sample.tags.get("form", "ask")
        triplets.append({"form": form, "question": one.sample.query.text, **placed(answer)})
    steps = [
        {"step": "review", "by": change.who, "when": change.when, "action": change.action}
        for change in review.changes(item)
    ]
    return {
        "item": item.key,
        "problem": "",
        "source": item.dataset,
        "files": [f"{split}/{name}/{file}" for file in names],
        "size": list(video.size),
        **placed(Caption(text.text, text.spans)),
        "left_out": [],
        "things": [
            {"id": track.id, "name": _name(text, track.id), "masks": rles(track)} for track in text.tracks
        ],
        "triplets": triplets,
        "refused": [],
        "steps": steps,
    }


def _name(text: GroundedText, id: int) -> str:
    """The words of an object."""
    return next((text.phrase(span) for span in text.spans if id in span.tracks), "object")


def _shared(answer: GroundedText, caption: GroundedText) -> Caption:
    """An answer over the caption's objects; what the caption lacks is not pointed at."""
    known = {track.id for track in caption.tracks}
    spans = []
    for span in answer.spans:
        tracks = tuple(id for id in span.tracks if id in known)
        if tracks:
            spans.append(type(span)(span.start, span.end, tracks))
    return Caption(answer.text, tuple(spans))
