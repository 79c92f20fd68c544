"""Referring segmentation: the mask track of what an expression names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from benchmarks.metrics import refseg, revos
from benchmarks.stats import Measure, ratio
from benchmarks.tasks import ref_davis
from benchmarks.tasks.base import Counts, Judgement, Task, fitting
from grounding_core.interfaces.dataset import Truth
from grounding_core.masks import MaskTrack, unite
from grounding_core.types import GroundedText

FloatArray = npt.NDArray[np.float64]

REFERRING, REASONING = "referring", "reasoning"
"""Values of the tag ``type`` whose means make the overall one."""

_BY_TYPE = {"jf": "J&F", "j": "J", "f": "F", "robustness": "R"}


def mean_of_means(counts: FloatArray) -> FloatArray:
    """(...) from counts (..., 4): half the first ratio plus half the second."""
    return np.asarray((ratio(counts[..., :2]) + ratio(counts[..., 2:])) / 2)


def _typed_measures() -> tuple[Measure, ...]:
    found = []
    for key, label in _BY_TYPE.items():
        for kind in (REFERRING, REASONING):
            help = f"{label} of {kind} expressions"
            found.append(Measure(f"{key}_{kind}", f"{label} {kind}", help, brief=key == "jf"))
        help = f"mean of {label} {REFERRING} and {label} {REASONING}, not over expressions (ReVOS)"
        title = f"{label} overall"
        found.append(Measure(f"{key}_overall", title, help, finish=mean_of_means, brief=key == "jf"))
    return tuple(found)


class ReferringSegmentation(Task):
    """J, F and J&F: mean over an expression's annotated frames, then over expressions (as MeViS does)."""

    name: ClassVar[str] = "refseg"
    title: ClassVar[str] = "Referring segmentation"
    headline: ClassVar[str] = "jf"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("jf", "J&F", "mean of J and F"),
        Measure("j", "J", "region IoU (DAVIS 2017)"),
        Measure("f", "F", "boundary F-measure (DAVIS 2017, tolerance 0.008 of the diagonal)"),
        Measure("j50", "J>0.5", "share of expressions whose mean J is above 0.5"),
        Measure("j_recall", "J recall", "share of an expression's frames with J above 0.5", brief=False),
        Measure("f_recall", "F recall", "share of an expression's frames with F above 0.5", brief=False),
        Measure("j_decay", "J decay", "J of the first quarter of frames less that of the last", brief=False),
        Measure("f_decay", "F decay", "F of the first quarter of frames less that of the last", brief=False),
        Measure(
            "j_decay_official", "J decay official", "as DAVIS: meaningless beyond 256 frames", brief=False
        ),
        Measure(
            "f_decay_official", "F decay official", "as DAVIS: meaningless beyond 256 frames", brief=False
        ),
        Measure(
            "jf_official",
            "J&F official",
            "as the MeViS script: a missing answer is left out, unless the whole video has none",
            brief=False,
        ),
        Measure(
            "robustness",
            "R",
            "1 less the share of the video's objects' pixels wrongly marked (ReVOS)",
        ),
        *_typed_measures(),
        *ref_davis.MEASURES,
    )

    def judge(self, answer: GroundedText | None, truth: Truth) -> Judgement:
        """All tracks of the answer together against the union of the true objects."""
        (target,) = truth.tracks
        if answer is not None:
            fitting(answer.tracks, target)
        found = unite(answer.tracks) if answer is not None and answer.tracks else None
        frames = range(len(target)) if truth.annotated is None else truth.annotated
        if answer is None:
            j = f = np.zeros(len(frames))
        else:
            pairs = [_frame(target, found, truth.ignored, frame) for frame in frames]
            j, f = np.asarray(pairs, dtype=np.float64).reshape(-1, 2).T
        counts = _counts(j, f)
        if truth.foreground is not None:
            values = [
                0.0 if answer is None else _robustness(target, found, truth.foreground, i) for i in frames
            ]
            counts["robustness"] = float(np.mean(values)), 1.0
        return Judgement(counts)

    def judge_video(
        self,
        tags: Sequence[Mapping[str, str]],
        truths: Sequence[Truth],
        answers: Sequence[GroundedText | None],
    ) -> Sequence[Counts]:
        """What the MeViS script leaves out, and DAVIS's two protocols where a set has sequences."""
        nothing = all(answer is None for answer in answers)
        rows: list[Counts] = []
        for answer in answers:
            # J&F itself is added by combine; here is only whether the sample counts.
            rows.append({"jf_official": (0.0, float(nothing or answer is not None))})
        for row, more in zip(rows, ref_davis.judge(tags, truths, answers), strict=True):
            row |= more
        return rows

    def combine(
        self, tags: Sequence[Mapping[str, str]], counts: Mapping[str, FloatArray]
    ) -> Mapping[str, FloatArray]:
        """Means by type of expression where there are both types, and J&F of what MeViS counts."""
        weights = counts["jf_official"][:, 1]
        found = {"jf_official": np.stack([counts["jf"][:, 0] * weights, weights], axis=1)}
        kinds = np.array([tag.get("type", "") for tag in tags])
        chosen = {kind: (kinds == kind)[:, None] for kind in (REFERRING, REASONING)}
        if not all(mask.any() for mask in chosen.values()):
            return found
        for key in _BY_TYPE.keys() & counts.keys():
            parts = {kind: np.where(mask, counts[key], 0.0) for kind, mask in chosen.items()}
            found |= {f"{key}_{kind}": part for kind, part in parts.items()}
            found[f"{key}_overall"] = np.concatenate([parts[REFERRING], parts[REASONING]], axis=1)
        return found


def _counts(j: FloatArray, f: FloatArray) -> Counts:
    (mean_j, j_recall, j_decay), (mean_f, f_recall, f_decay) = refseg.statistics(j), refseg.statistics(f)
    return {
        "jf": ((mean_j + mean_f) / 2, 1.0),
        "j": (mean_j, 1.0),
        "f": (mean_f, 1.0),
        "j50": (float(mean_j > 0.5), 1.0),
        "j_recall": (j_recall, 1.0),
        "f_recall": (f_recall, 1.0),
        "j_decay": (j_decay, 1.0),
        "f_decay": (f_decay, 1.0),
        "j_decay_official": (refseg.statistics_official(j)[2], 1.0),
        "f_decay_official": (refseg.statistics_official(f)[2], 1.0),
    }


def _frame(
    truth: MaskTrack, found: MaskTrack | None, ignored: MaskTrack | None, frame: int
) -> tuple[float, float]:
    predicted = None if found is None else found.frames[frame]
    if predicted == truth.frames[frame]:
        return 1.0, 1.0
    target = truth.mask(frame)
    mask = np.zeros_like(target) if found is None else found.mask(frame)
    void = None if ignored is None or ignored.frames[frame] is None else ignored.mask(frame)
    return refseg.frame_scores(target, mask, void)


def _robustness(truth: MaskTrack, found: MaskTrack | None, foreground: MaskTrack, frame: int) -> float:
    if found is None or found.frames[frame] is None:
        return 1.0
    size = list(truth.size)
    parts = [{"size": size, "counts": track.frames[frame]} for track in (truth, found)]
    hit = 0 if truth.frames[frame] is None else int(coco.area(coco.merge(parts, intersect=1)))
    return revos.robustness(found.area(frame) - hit, foreground.area(frame))
