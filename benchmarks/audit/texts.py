"""Faults of captions: what points at nothing, what nothing points at, and twins that disagree."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from benchmarks.audit.findings import Fault
from grounding_core.interfaces.dataset import Truth
from grounding_core.types import GroundedText

TWINS = 4.0
"""Mean difference of thumbnails, of 255, below which videos look the same."""
AGREE = 0.4
"""Share of the words of two captions, rare ones weighing more, below which twins disagree."""
_NEIGHBOURS = 8.0
"""Most that corresponding cells of a coarser grid may differ for twins to be looked for."""


def names(caption: GroundedText) -> dict[int, str]:
    """Track id -> the words that point at it; a track without words is called by its number."""
    found = {track.id: f"object {track.id}" for track in caption.tracks}
    for span in reversed(caption.spans):
        if span.start < span.end:
            found |= dict.fromkeys(span.tracks, caption.phrase(span))
    return found


def links(truth: Truth, caption: GroundedText) -> Iterator[Fault]:
    """Phrases without masks and masks without phrases."""
    if not caption.spans:
        yield Fault("phrase-without-mask", 0.9, "The caption points at nothing.")
    for span in caption.spans:
        if span.start < span.end and not span.tracks:
            yield Fault("phrase-without-mask", 0.6, f"“{caption.phrase(span)}” points at no object.")
    pointed = {id for span in caption.spans if span.start < span.end for id in span.tracks}
    for track in truth.tracks:
        if track.id not in pointed:
            reason = f"Object {track.id} has masks, but no phrase points at it."
            yield Fault("mask-without-phrase", 0.4, reason, track.visible(), (track.id,))
    if truth.others:
        count = len(truth.others)
        what = "object is" if count == 1 else "objects are"
        reason = f"{count} annotated {what} not in the caption."
        yield Fault(
            "mask-without-phrase", 0.4, reason, tuple(sorted({f for boxes in truth.others for f in boxes}))
        )


def twins(
    thumbnails: Mapping[str, npt.NDArray[np.float64]], captions: Mapping[str, str]
) -> Iterator[tuple[str, Fault]]:
    """Captions of videos that look the same and share few words.

    Args:
        thumbnails: video -> small pictures (n, side, side, 3), alike for all.
        captions: video -> its caption.

    Yields:
        (video, fault), for both of each pair.
    """
    videos = [video for video in captions if video in thumbnails]
    words = {video: Counter(re.findall(r"\w+", captions[video].lower())) for video in videos}
    frequency = Counter(word for counted in words.values() for word in counted)
    weights = {word: math.log(1 + len(videos) / count) ** 2 for word, count in frequency.items()}
    for one, other in _alike(videos, thumbnails):
        if _agreement(words[one], words[other], weights) < AGREE:
            for video, twin in ((one, other), (other, one)):
                said = captions[twin] if len(captions[twin]) < 120 else captions[twin][:117] + "…"
                reason = f"{twin} looks the same, but is said to show: “{said}”"
                yield video, Fault("caption-disagreement", 0.5, reason)


def _agreement(one: Counter[str], other: Counter[str], weights: Mapping[str, float]) -> float:
    """F1 of the words that two captions share; a word that is in most captions weighs little."""
    shared, first, second = (
        sum(count * weights[word] for word, count in counted.items()) for counted in (one & other, one, other)
    )
    return 2 * shared / (first + second) if first + second else 1.0


def _alike(
    videos: Sequence[str], thumbnails: Mapping[str, npt.NDArray[np.float64]]
) -> Iterator[tuple[str, str]]:
    if len(videos) < 2:
        return
    # Coarse pictures first: a tree finds the few pairs that are worth comparing.
    coarse = [thumbnails[video].mean(axis=0) for video in videos]
    side = coarse[0].shape[0] // 4
    points = np.stack([grid.reshape(4, side, 4, side, 3).mean(axis=(1, 3)).ravel() for grid in coarse])
    for i, j in sorted(cKDTree(points).query_pairs(_NEIGHBOURS, p=np.inf)):
        if float(np.abs(thumbnails[videos[i]] - thumbnails[videos[j]]).mean()) < TWINS:
            yield videos[i], videos[j]
