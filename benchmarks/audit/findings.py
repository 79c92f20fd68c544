"""What an audit finds, and how it adds up to a score a sample."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.disk import replace_text

KINDS: Mapping[str, str] = {
    "undecodable": "The video does not open, or a frame does not decode.",
    "unreadable-truth": "The annotation can't be read, or does not fit its video.",
    "phrase-without-mask": "A phrase, or a whole caption, points at no object.",
    "mask-without-phrase": "An annotated object that no phrase points at.",
    "empty-mask": "A mask without pixels: always, or for a frame in which the object can't have been gone.",
    "jumping-mask": "From one frame to the next an object leaps further than it is large.",
    "fragmenting-mask": "A mask falls into more pieces than it has elsewhere.",
    "frozen-mask": "A mask stands still while the picture under it changes.",
    "identity-swap": "Two objects exchange their masks from some frame on.",
    "longer-than-visible": "A mask goes on where its object is no more, or not yet, in the picture.",
    "duplicate-objects": "Two objects of one caption have the same masks.",
    "box-outside": "A box leaves the picture or the video, or has no area.",
    "exchanged-phrases": "Two phrases of a caption fit better when they exchange their objects.",
    "phrase-misfit": "A phrase does not fit what is seen of its object better than phrases of others do.",
    "caption-disagreement": "Videos that look the same have captions that share few words.",
}
"""Kinds of faults and what each means."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a sample.

    Attributes:
        kind: one of ``KINDS``.
        severity: in (0, 1]; how sure it is that training on the sample does harm.
        reason: one line.
        frames: where to look.
        tracks: ids of the tracks it is about.
    """

    kind: str
    severity: float
    reason: str
    frames: tuple[int, ...] = ()
    tracks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Audited:
    """What an audit says of one sample.

    Attributes:
        dataset, split, task: where it is from; the data set as the user named it.
        sample, video: its id and its video's.
        faults: worst first.
    """

    dataset: str
    split: str
    task: str
    sample: str
    video: str
    faults: tuple[Fault, ...]

    @property
    def score(self) -> float:
        """0 for a sample without faults, towards 1 the worse: ``1 - prod(1 - severity)``, a kind once."""
        worst: dict[str, float] = {}
        for fault in self.faults:
            worst[fault.kind] = max(worst.get(fault.kind, 0.0), fault.severity)
        kept = 1.0
        for severity in worst.values():
            kept *= 1.0 - severity
        return round(1.0 - kept, 4)


@dataclass(frozen=True)
class Total:
    """How much was found in one split of one task.

    Attributes:
        dataset, split, task: which.
        videos, samples: how many were looked at.
        faulty: samples with a fault.
        kinds: kind -> samples that have it, most frequent first.
    """

    dataset: str
    split: str
    task: str
    videos: int
    samples: int
    faulty: int
    kinds: Mapping[str, int]


def totals(audited: Sequence[Audited]) -> list[Total]:
    """One a data set, split and task, in order of first appearance."""
    sets: dict[tuple[str, str, str], list[Audited]] = {}
    for one in audited:
        sets.setdefault((one.dataset, one.split, one.task), []).append(one)
    return [
        Total(
            *key,
            videos=len({one.video for one in group}),
            samples=len(group),
            faulty=sum(bool(one.faults) for one in group),
            kinds=dict(Counter(k for one in group for k in {f.kind for f in one.faults}).most_common()),
        )
        for key, group in sets.items()
    ]


def ranked(audited: Iterable[Audited]) -> list[Audited]:
    """Faulty samples, worst first."""
    return sorted((one for one in audited if one.faults), key=lambda one: (-one.score, one.sample))


def write(audited: Sequence[Audited], out: Path) -> None:
    """Write ``findings.jsonl`` (one fault a line, worst samples first), ``scores.json`` and ``totals.json``.

    ``scores.json`` holds ``{"<data set>/<task>": {sample id: score}}`` for every sample looked at: the file
    that ``training.audit`` reads.

    Raises:
        DataError: the disk refuses.
    """
    scores: dict[str, dict[str, float]] = {}
    for one in audited:
        kept = scores.setdefault(f"{one.dataset}/{one.task}", {})
        kept[one.sample] = max(one.score, kept.get(one.sample, 0.0))
    lines = (
        json.dumps(
            {
                **{
                    key: getattr(one, key) for key in ("dataset", "split", "task", "sample", "video", "score")
                },
                **asdict(fault),
            },
            ensure_ascii=False,
        )
        + "\n"
        for one in ranked(audited)
        for fault in one.faults
    )
    replace_text(out / "findings.jsonl", lines)
    replace_text(out / "scores.json", json.dumps(scores, indent=1) + "\n")
    replace_text(
        out / "totals.json", json.dumps([asdict(total) for total in totals(audited)], indent=1) + "\n"
    )
