"""Phrases against what is seen of their objects, by any image–text component."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from benchmarks.audit.findings import Fault
from benchmarks.image_text import ImageText, Sight, best_frame, unlike
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.masks import MaskTrack
from grounding_core.video import Video

POOL = 64
"""Samples whose phrases a phrase is compared with."""
OTHERS = 16
"""Phrases of others that a phrase is compared with."""
BEATEN = 0.4
"""Share of the others that must fit an object better than its own phrase does, ties counting half. A wrong
phrase is as good as any other, so this is half of them on average; a right one is beaten by few."""


class Misfits:
    """Finds phrases that fit their objects worse than phrases of other samples do.

    Args:
        model: compares.
        samples: of the set; some are read for their phrases.
    """

    def __init__(self, model: ImageText, samples: Sequence[Sample]) -> None:
        self._model = model
        self._rng = np.random.default_rng(0)
        chosen = self._rng.permutation(len(samples))[:POOL]
        phrases = [phrase for place in chosen for phrase, _ in _readable(samples[int(place)])]
        self._pool = list(dict.fromkeys(phrases))

    def of(self, sample: Sample, truth: Truth, video: Video, fitting: Collection[int]) -> Iterator[Fault]:
        """Phrases of a sample that do not fit.

        Args:
            sample: what is audited.
            truth: its truth.
            video: its video, which can be decoded.
            fitting: ids of the tracks that have the video's size and length.
        """
        for phrase, track in phrases_of(sample, truth):
            frame = best_frame(track) if track.id in fitting else None
            others = unlike(phrase, self._pool)
            if frame is None or len(others) < 2:
                continue
            chosen = [others[int(place)] for place in self._rng.permutation(len(others))[:OTHERS]]
            sight = Sight(video.frames([frame])[0], track.mask(frame))
            own, *rest = self._model.similarity([sight], [phrase, *chosen])[0]
            scores = np.asarray(rest)
            beaten = float(np.mean(scores > own) + np.mean(scores == own) / 2)
            if beaten >= BEATEN and scores.max() > own:
                better = chosen[int(np.argmax(rest))]
                yield Fault(
                    "phrase-misfit",
                    0.3 + 0.4 * beaten,
                    f"“{phrase}” fits what is seen worse than {beaten:.0%} of others, “{better}” for one.",
                    (frame,),
                    (track.id,),
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


def _readable(sample: Sample) -> list[tuple[str, MaskTrack]]:
    try:
        return list(phrases_of(sample, sample.load_truth()))
    except GroundingError:  # the audit says so where it comes to this sample
        return []
