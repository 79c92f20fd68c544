"""Which object of a new answer is which of those known already, over the pieces of a long video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from grounding_core.types import GroundedText

Size = tuple[int, int]

OVERLAP = 0.3
"""Mean IoU over shared frames from which two masks are one object, whatever it is called."""

_AWAY = 0.2
"""Most that nearness counts for an object that is away: less than any overlap."""


@dataclass(frozen=True)
class Seen:
    """An object of one answer.

    Attributes:
        phrase: what the answer calls it; empty if nothing.
        masks: its COCO-RLE counts in the frames that the new piece shares with what came before.
        last: its counts where it was seen last (known ones) or first (new ones); None: never.
    """

    phrase: str
    masks: Sequence[bytes | None]
    last: bytes | None


def match(known: Mapping[int, Seen], new: Sequence[Seen], size: Size) -> list[int | None]:
    """The known object that each new one is; None for one that was not there before.

    Objects that are visible in shared frames go by their masks. One that was away or comes back goes by what
    it is called and, among several of a name, by where it was last.

    Args:
        known: objects by id.
        new: objects of the new answer.
        size: (H, W) of the masks.
    """
    from scipy.optimize import linear_sum_assignment

    ids = list(known)
    scores = np.array([[_score(known[id], other, size) for id in ids] for other in new])
    found: list[int | None] = [None] * len(new)
    if scores.size:
        for row, column in zip(*linear_sum_assignment(scores, maximize=True), strict=True):
            if scores[row, column] > 0:
                found[int(row)] = ids[int(column)]
    return found


def phrases(answer: GroundedText) -> dict[int, str]:
    """What an answer calls each of its tracks, in lower case; the first phrase of several."""
    named = {track.id: "" for track in answer.tracks}
    for span in answer.spans:
        for id in span.tracks:
            named[id] = named[id] or answer.phrase(span).lower().strip()
    return named


def _score(old: Seen, new: Seen, size: Size) -> float:
    """0 to 1; 0 means that they are two."""
    pairs = [(a, b) for a, b in zip(old.masks, new.masks, strict=True) if a is not None or b is not None]
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    if both:
        mean = sum(_iou(a, b, size) for a, b in both) / len(pairs)
        return mean if mean >= OVERLAP else 0.0
    if old.phrase != new.phrase:
        return 0.0
    return _AWAY * (0.5 + 0.5 * _nearness(old.last, new.last, size))


def _iou(a: bytes, b: bytes, size: Size) -> float:
    first, second = ([{"size": list(size), "counts": counts}] for counts in (a, b))
    return float(coco.iou(first, second, [0])[0, 0])


def _nearness(a: bytes | None, b: bytes | None, size: Size) -> float:
    """1 for the same place, 0 for opposite corners, or where one was never seen."""
    if a is None or b is None:
        return 0.0
    apart = np.linalg.norm(_centre(a, size) - _centre(b, size)) / np.linalg.norm(size)
    return float(max(1 - apart, 0.0))


def _centre(counts: bytes, size: Size) -> npt.NDArray[np.float64]:
    x, y, w, h = coco.toBbox({"size": list(size), "counts": counts})
    return np.array([y + h / 2, x + w / 2])
