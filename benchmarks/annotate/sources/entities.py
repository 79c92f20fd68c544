"""ActivityNet-Entities: sentences about segments, whose nouns have a box in one frame each.

Layout of ``anet_entities_cleaned_class_thresh50_trainval.json`` (facebookresearch/ActivityNet-Entities): ten
frames stand for a segment, the middles of ten equal parts; boxes are those of frames 720 pixels wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.annotate.items import Item, Source, Thing
from benchmarks.annotate.sources.videos import SUFFIXES
from benchmarks.annotate.steps import Notes, Step, Where
from benchmarks.annotate.writers import ARTICLES
from benchmarks.datasets.files import read_json, reading
from benchmarks.datasets.markup import Caption
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Box
from grounding_core.types import Span
from grounding_core.video import Video

SOURCE = "https://github.com/facebookresearch/ActivityNet-Entities"
WIDTH = 720
PARTS = 10
_CLOSE = (".", ",", ";", ":", "!", "?", "'s", "n't", ")")


class Entities(Step):
    """Boxes with the words of a sentence that name them, one item a segment; the sentence is the draft."""

    def find(self, source: str, where: Where) -> Source:
        """See `benchmarks.annotate.steps.ObjectSource`."""
        path = Path(source)
        if where.frames is None:
            raise DataError(f"{source} names videos.", "Name the folder they lie in with --frames.")
        content = read_json(path, SOURCE)
        items, ids = [], []
        with reading(path, "the file"):
            for video, entry in content["annotations"].items():
                for number, segment in entry["segments"].items():
                    if segment["process_bnd_box"]:
                        ids.append(f"{video}____{number}")
                        items.append(partial(_item, path, where.frames, video, ids[-1], segment))
        return Source(path.stem, f"see the repository's LICENSE; {SOURCE}", items, ids)


def _item(path: Path, folder: Path, video: str, id: str, segment: Mapping[str, Any], notes: Notes) -> Item:
    with reading(path, f"segment {id}"):
        whole = _open(folder, video)
        start, end = (float(time) for time in segment["timestamps"])
        times = whole.timestamps
        inside = np.flatnonzero((times >= start) & (times <= end))
        if not inside.size:
            raise ValueError(f"its {start:.1f} to {end:.1f} s are not in its video")
        clip = whole.clip(int(inside[0]), int(inside[-1]) + 1)
        middles = start + (np.arange(PARTS) + 0.5) * (end - start) / PARTS
        frames = [int(np.abs(clip.timestamps - middle).argmin()) for middle in middles]
        scale = whole.size[1] / WIDTH
        things, named = [], []
        boxes = zip(
            segment["process_bnd_box"],
            segment["frame_ind"],
            segment["process_clss"],
            segment["process_idx"],
            strict=True,
        )
        for place, (corners, frame, classes, tokens) in enumerate(boxes):
            x0, y0, x1, y1 = (float(side) * scale for side in corners)
            box: Box = (x0, y0, x1, y1)
            things.append(Thing(place, str(classes[0]), boxes={frames[int(frame)]: box}, sparse=True))
            named.append(tuple(sorted(int(token) for token in tokens)))
        draft = _draft([str(token) for token in segment["tokens"]], named)
    return Item(id, lambda: clip, tuple(things), draft=draft)


def _open(folder: Path, video: str) -> Video:
    found = next(
        (folder / f"{video}{suffix}" for suffix in SUFFIXES if (folder / f"{video}{suffix}").is_file()), None
    )
    if found is None:
        raise DataError(f"The video {video} is not in {folder}.", "Get it from ActivityNet, or leave it out.")
    return Video.open(found)


def _draft(tokens: Sequence[str], named: Sequence[tuple[int, ...]]) -> Caption:
    """The sentence; words that name several objects point at all of them."""
    text, places = "", []
    for token in tokens:
        text += "" if not text or token in _CLOSE else " "
        places.append((len(text), len(text) + len(token)))
        text += token
    groups: dict[tuple[int, int], list[int]] = {}
    for object, words in enumerate(named):
        first, last = words[0], words[-1]
        if first > 0 and tokens[first - 1].lower() in ARTICLES:
            first -= 1
        groups.setdefault((places[first][0], places[last][1]), []).append(object)
    spans: list[Span] = []
    for (start, end), objects in sorted(groups.items()):
        if spans and start < spans[-1].end:  # words that share a stretch are one phrase
            before = spans.pop()
            start, end, objects = before.start, max(end, before.end), [*before.tracks, *objects]
        spans.append(Span(start, end, tuple(objects)))
    return Caption(text, tuple(spans))
