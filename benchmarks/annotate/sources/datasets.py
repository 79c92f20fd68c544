"""Objects of data sets that installed readers read: masks with expressions, boxes with sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from benchmarks.annotate.items import Item, Source, Thing, Together
from benchmarks.annotate.steps import Notes, Step, Where
from benchmarks.audit.auditing import named
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Box, GeneratedDataset, Sample
from grounding_core.masks import MaskTrack, unite
from grounding_core.plugins import registry

SAME = 0.95
"""IoU from which the objects of two expressions are one."""


class Expressions(Step):
    """Masks of a data set with referring expressions, e.g. MeViS; expressions of one object are merged."""

    def find(self, source: str, where: Where) -> Source:
        """See `benchmarks.annotate.steps.ObjectSource`."""
        return _of_samples(source, "refseg", where, lambda sample: sample.video_id, _of_expressions)


class Sentences(Step):
    """Boxes of a data set with sentences, e.g. VidSTG and HC-STVG: one item a moment."""

    def find(self, source: str, where: Where) -> Source:
        """See `benchmarks.annotate.steps.ObjectSource`."""
        return _of_samples(source, "grounding", where, _moment, _of_sentences)


def has_expressions(source: str) -> bool:
    """Whether a data set has masks with expressions.

    Raises:
        PluginError: there is no such data set.
    """
    found = registry().load("dataset", source.partition(":")[0])
    return "refseg" in (found.readings if issubclass(found, GeneratedDataset) else found.tasks)


def _of_samples(
    source: str,
    task: str,
    where: Where,
    group: Callable[[Sample], str],
    make: Callable[[str, Sequence[Sample]], Item],
) -> Source:
    if where.data_root is None:
        remedy = "Name the folder above it with --data-root, or a file or folder that is there."
        raise DataError(f"The data set {source!r} is read from disk.", remedy)
    name, _, split = source.partition(":")
    asked = {questions.task: questions for questions in named(name, split or None, where.data_root)}
    if task not in asked:
        raise DataError(
            f"{name!r} has no {task}.", f"Its tasks: {', '.join(asked)}; annotated are refseg and grounding."
        )
    groups: dict[str, list[Sample]] = {}
    for sample in asked[task].samples:
        groups.setdefault(group(sample), []).append(sample)
    licence: str = registry().load("dataset", name).licence
    items = [partial(_made, make, id, samples) for id, samples in groups.items()]
    return Source(f"{name}:{asked[task].split}", licence, items, list(groups))


def _made(
    make: Callable[[str, Sequence[Sample]], Item], id: str, samples: Sequence[Sample], notes: Notes
) -> Item:
    return make(id, samples)


def _moment(sample: Sample) -> str:
    """Questions that share objects: boxes cover their moment alone."""
    start, end = sample.load_truth().interval or (0, 0)
    return f"{sample.video_id}@{start}-{end}"


def _of_expressions(id: str, samples: Sequence[Sample]) -> Item:
    said: dict[tuple[bytes | None, ...], list[Sample]] = {}
    tracks: dict[tuple[bytes | None, ...], MaskTrack] = {}
    for sample in samples:
        for found in sample.load_truth().tracks:
            if found.visible():
                tracks[found.frames] = found
                said.setdefault(found.frames, []).append(sample)
    single, several = _apart(list(tracks.values()))
    things = [
        Thing(place, "", _statements(said[found.frames]), MaskTrack(place, found.size, found.frames))
        for place, found in enumerate(single)
    ]
    together = [
        Together(members, saying) for found, members in several for saying in _statements(said[found.frames])
    ]
    return Item(id, samples[0].open_video, tuple(things), tuple(together))


def _apart(tracks: Sequence[MaskTrack]) -> tuple[list[MaskTrack], list[tuple[MaskTrack, tuple[int, ...]]]]:
    """Tracks of one object, and those that unite several of them with the places of the united."""
    single: list[MaskTrack] = []
    several = []
    for found in sorted(tracks, key=_area):
        inside = [place for place, other in enumerate(single) if _shared(other, found) > SAME * _area(other)]
        united = unite([single[place] for place in inside]) if inside else None
        if united is not None and _shared(united, found) > SAME * _area(found):
            several.append((found, tuple(inside)))
        else:
            single.append(found)
    return single, several


def _area(found: MaskTrack) -> int:
    return sum(map(found.area, found.visible()))


def _shared(one: MaskTrack, other: MaskTrack) -> int:
    """Pixels that two tracks have in common."""
    return _area(one) + _area(other) - _area(unite([one, other]))


def _of_sentences(id: str, samples: Sequence[Sample]) -> Item:
    said: dict[tuple[tuple[int, Box], ...], list[Sample]] = {}
    interval = (0, 0)
    for sample in samples:
        truth = sample.load_truth()
        interval = truth.interval or interval
        start = interval[0]
        boxes = tuple(sorted((frame - start, box) for frame, box in truth.boxes.items()))
        said.setdefault(boxes, []).append(sample)
    things = [
        Thing(place, "", _statements(group), boxes=dict(boxes))
        for place, (boxes, group) in enumerate(said.items())
    ]
    opening = samples[0].open_video
    return Item(id, lambda: opening().clip(*interval), tuple(things))


def _statements(samples: Iterable[Sample]) -> tuple[str, ...]:
    """What is said of an object; questions say nothing of it."""
    said = dict.fromkeys(sample.query.text.strip() for sample in samples if sample.query.kind != "ask")
    return tuple(said)
