"""Phrases against what is seen of their objects, by any image–text component."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from benchmarks.audit.findings import Fault
from benchmarks.image_text import ImageText, Sight, best_frame, unlike
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.masks import MaskTrack
from grounding_core.video import Video

POOL = 64
"""Samples whose phrases a phrase is compared with."""
OTHERS = 64
"""Phrases of others that a phrase is compared with, at most."""
FEWEST = 8
"""Others that a phrase must be compared with at least, to say anything."""
ABOVE = 1.5
"""Standard deviations by which a phrase's score must lie above the mean of the others on the same picture. A
wrong phrase is one of the others, so nine in ten of them lie lower; how far above right ones lie depends on
the component alone, whatever its scores are."""


@dataclass(frozen=True)
class _Named:
    """A phrase, and the object it names where most of it is seen."""

    phrase: str
    track: int
    frame: int
    sight: Sight


class Misfits:
    """Finds phrases that do not fit their objects.

    Args:
        model: compares.
        samples: of the set; some are read for their phrases.
    """

    def __init__(self, model: ImageText, samples: Sequence[Sample]) -> None:
        self._model = model
        self._rng = np.random.default_rng(0)
        chosen = self._rng.permutation(len(samples))[:POOL]
        phrases = [phrase for place in chosen for phrase, _ in readable(samples[int(place)])]
        self._pool = list(dict.fromkeys(phrases))

    def of(self, sample: Sample, truth: Truth, video: Video, fitting: Collection[int]) -> Iterator[Fault]:
        """Phrases of a sample that do not fit.

        Args:
            sample: what is audited.
            truth: its truth.
            video: its video, which can be decoded.
            fitting: ids of the tracks that have the video's size and length.
        """
        named = []
        for phrase, track in phrases_of(sample, truth):
            frame = best_frame(track) if track.id in fitting else None
            if frame is not None:
                sight = Sight(video.frames([frame])[0], track.mask(frame))
                named.append(_Named(phrase, track.id, frame, sight))
        exchanged = set()
        for one, other, gain in self._exchanged(named):
            exchanged |= {one.track, other.track}
            yield Fault(
                "exchanged-phrases",
                0.7,
                f"“{one.phrase}” and “{other.phrase}” fit each other's object better (by {gain:.2g}).",
                (one.frame, other.frame),
                (one.track, other.track),
            )
        yield from (fault for one in named if one.track not in exchanged for fault in self._misfit(one))

    def _exchanged(self, named: Sequence[_Named]) -> Iterator[tuple[_Named, _Named, float]]:
        """Pairs of one caption, and how much better they fit the other way round."""
        if len({one.track for one in named}) < 2:
            return
        scores = self._model.similarity([one.sight for one in named], [one.phrase for one in named])
        for i, j in combinations(range(len(named)), 2):
            one, other = named[i], named[j]
            gain = float(scores[i, j] - scores[i, i] + scores[j, i] - scores[j, j])
            if gain > 0 and one.track != other.track and unlike(one.phrase, [other.phrase]):
                yield one, other, gain

    def _misfit(self, one: _Named) -> Iterator[Fault]:
        """The phrase among those of the data set that share few words with it."""
        others = unlike(one.phrase, self._pool)
        if len(others) < FEWEST:
            return
        chosen = [others[int(place)] for place in self._rng.permutation(len(others))[:OTHERS]]
        own, *rest = self._model.similarity([one.sight], [one.phrase, *chosen])[0]
        told = ~np.isnan(rest)
        if np.isnan(own) or told.sum() < FEWEST:
            return
        scores = np.where(told, rest, -np.inf)
        above = float((own - scores[told].mean()) / max(scores[told].std(), 1e-9))
        if above < ABOVE and scores.max() > own:
            beaten = float(np.mean(scores[told] > own))
            yield Fault(
                "phrase-misfit",
                0.3 + 0.1 * min(ABOVE - above, 4.0),
                f"“{one.phrase}” does not stand out: {beaten:.0%} of other phrases fit what is seen better, "
                f"“{chosen[int(scores.argmax())]}” best.",
                (one.frame,),
                (one.track,),
            )


def phrases_of(sample: Sample, truth: Truth) -> Iterator[tuple[str, MaskTrack]]:
    """Words that mean one object, with its track: phrases of a caption, or the expression itself."""
    if truth.caption is None:
        if len(truth.tracks) == 1 and sample.query.text and "nonexistent" not in sample.tags.values():
            yield sample.query.text, truth.tracks[0]
        return
    tracks = {track.id: track for track in truth.caption.tracks}
    for span in truth.caption.spans:
        if len(span.tracks) == 1 and span.start < span.end:
            yield truth.caption.phrase(span), tracks[span.tracks[0]]


def readable(sample: Sample) -> list[tuple[str, MaskTrack]]:
    """`phrases_of` of a sample as it lies; none where its truth can't be read."""
    try:
        return list(phrases_of(sample, sample.load_truth()))
    except GroundingError:  # the audit says so where it comes to this sample
        return []
