"""Ref-DAVIS17's two protocols: all of an annotator's expressions about a sequence as one label map.

Where several objects claim a pixel it goes to the first, as with the arg-max over binary masks in
VideoGLaMM's ``eval_referdavis_infer.py`` (6b15b1e) and ReferFormer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.metrics import davis
from benchmarks.stats import Measure
from grounding_core.interfaces.dataset import Truth
from grounding_core.masks import MaskTrack, unite
from grounding_core.types import GroundedText

_PROTOCOLS = {"unsupervised": davis.unsupervised, "semi": davis.semi_supervised}
_HELP = {
    "unsupervised": "DAVIS unsupervised protocol: objects of a sequence assigned to answers, all frames",
    "semi": "DAVIS semi-supervised protocol: object by object, without first and last frame",
}
_LABELS = {"jf": "J&F", "j": "J", "f": "F"}
_LABELS_OF_PROTOCOLS = {"unsupervised": "assigned", "semi": "semi-supervised"}

MEASURES = tuple(
    Measure(
        f"{key}_{protocol}",
        f"{label} {_LABELS_OF_PROTOCOLS[protocol]}",
        f"{label}; {help}",
        brief=key == "jf",
    )
    for protocol, help in _HELP.items()
    for key, label in _LABELS.items()
)


def judge(
    tags: Sequence[Mapping[str, str]], truths: Sequence[Truth], answers: Sequence[GroundedText | None]
) -> list[dict[str, tuple[float, ...]]]:
    """Counts of both protocols for the samples of one video, given the tags ``object`` and ``annotator``.

    Objects that are not in the first frame take no part, as in the official code.
    """
    rows: list[dict[str, tuple[float, ...]]] = [{} for _ in tags]
    if not all({"sequence", "object", "annotator"} <= tag.keys() for tag in tags):
        return rows
    for annotator in sorted({tag["annotator"] for tag in tags}):
        places = {int(tag["object"]): i for i, tag in enumerate(tags) if tag["annotator"] == annotator}
        truth = _labels({label: truths[i].tracks[0] for label, i in places.items()})
        void = truths[next(iter(places.values()))].ignored
        if void is not None:
            truth[void.masks()] = davis.VOID
        found = {label: answers[i] for label, i in places.items()}
        united = {label: unite(answer.tracks) for label, answer in found.items() if answer and answer.tracks}
        predicted = _labels(united, like=truth)
        for protocol, score in _PROTOCOLS.items():
            scores = score(truth, predicted)
            values = {
                label: (float(j.mean()), float(f.mean()))
                for label, j, f in zip(scores.objects, scores.j, scores.f, strict=True)
                if j.size  # the semi-supervised protocol leaves nothing of two frames
            }
            for label, i in places.items():
                rows[i] |= _counts(protocol, values.get(label))
    return rows


def _counts(protocol: str, values: tuple[float, float] | None) -> dict[str, tuple[float, ...]]:
    if values is None:
        return {f"{key}_{protocol}": (0.0, 0.0) for key in _LABELS}
    j, f = values
    found = {"jf": (j + f) / 2, "j": j, "f": f}
    return {f"{key}_{protocol}": (value, 1.0) for key, value in found.items()}


def _labels(tracks: Mapping[int, MaskTrack], like: davis.Labels | None = None) -> davis.Labels:
    """One label map (t, H, W); the smallest label wins."""
    shape = (
        (len(next(iter(tracks.values()))), *next(iter(tracks.values())).size) if like is None else like.shape
    )
    labels = np.zeros(shape, dtype=np.uint8)
    for label in sorted(tracks, reverse=True):
        for frame in tracks[label].visible():
            labels[frame][tracks[label].mask(frame)] = label
    return labels
