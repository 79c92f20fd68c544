"""Judging a model while it trains, with the tasks' own measures, and a picture of its answers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL.Image import Image

from benchmarks.tasks.base import Task, load_task
from benchmarks.units import Unit
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Sample
from grounding_core.render import contact_sheet, stack_sheets
from grounding_core.types import GroundedText

if TYPE_CHECKING:
    from grounding_core.model import GroundingModel

PICTURES = 6


class Validation:
    """Scores a model on the first videos of some units.

    Args:
        units: what to score.
        videos: how many videos of each.
    """

    def __init__(self, units: Sequence[Unit], videos: int) -> None:
        self._units = units
        self._videos = videos

    def __call__(self, model: GroundingModel, picture: Path) -> Mapping[str, float]:
        """The mean of the tasks' headline measures, then every measure as ``unit measure``.

        For referring segmentation also the headline by the tag ``kind``. Measures of a whole corpus
        (METEOR, CIDEr) are left out: they take longer than the model.

        Args:
            model: in evaluation mode.
            picture: PNG to write.
        """
        report: dict[str, float] = {}
        headlines, sheets = [], list[Image]()
        with tempfile.TemporaryDirectory() as folder:
            for unit in self._units:
                task = load_task(unit.task, Path(folder))
                found = self._scored(model, unit, task, sheets)
                for measure in task.all_measures:
                    rows = [counts[measure.key] for _, counts in found if measure.key in counts]
                    if rows:
                        report[f"{unit.label} {measure.key}"] = float(measure.finish(np.sum(rows, axis=0)))
                headlines.append(report[f"{unit.label} {task.headline}"])
                report |= _by_kind(unit, task, found)
        if sheets:
            picture.parent.mkdir(parents=True, exist_ok=True)
            stack_sheets(sheets).save(picture)
        return {"mean of headlines": float(np.nanmean(headlines)), **report}

    def measured(self) -> list[str]:
        """What a call reports; no model is needed."""
        report = dict.fromkeys(["mean of headlines"])
        with tempfile.TemporaryDirectory() as folder:
            for unit in self._units:
                task = load_task(unit.task, Path(folder))
                missed = [
                    (sample, task.score(None, sample.load_truth()).counts)
                    for group in self._groups(unit)
                    for sample in group
                ]
                keys = {key for _, counts in missed for key in counts}
                known = [measure.key for measure in task.all_measures if measure.key in keys]
                report |= dict.fromkeys(f"{unit.label} {key}" for key in known)
                report |= dict.fromkeys(_by_kind(unit, task, missed))
        return list(report)

    def _groups(self, unit: Unit) -> list[list[Sample]]:
        """Samples of the first videos, video by video."""
        groups: dict[str, list[Sample]] = {}
        for sample in unit.samples:
            groups.setdefault(sample.video_id, []).append(sample)
        return list(groups.values())[: self._videos]

    def _scored(
        self, model: GroundingModel, unit: Unit, task: Task, sheets: list[Image]
    ) -> list[tuple[Sample, Mapping[str, tuple[float, ...]]]]:
        found = []
        for group in self._groups(unit):
            video = group[0].open_video()
            answers = model.ground(model.encode(video), [sample.query for sample in group])
            for sample, answer in zip(group, answers, strict=True):
                found.append((sample, _judge(task, answer, sample)))
                if sample.query.kind == "describe" and len(sheets) < PICTURES:
                    sheets.append(contact_sheet(video, answer, frames=6))
        return found


def _judge(task: Task, answer: GroundedText, sample: Sample) -> Mapping[str, tuple[float, ...]]:
    truth = sample.load_truth()
    try:
        return task.score(answer, truth).counts
    except GroundingError:
        return task.score(None, truth).counts  # an answer that does not fit the video is a miss


def _by_kind(
    unit: Unit, task: Task, found: Sequence[tuple[Sample, Mapping[str, tuple[float, ...]]]]
) -> dict[str, float]:
    measure = next(measure for measure in task.all_measures if measure.key == task.headline)
    kinds: dict[str, list[tuple[float, ...]]] = {}
    for sample, counts in found:
        if "kind" in sample.tags:
            kinds.setdefault(sample.tags["kind"], []).append(counts[measure.key])
    return {
        f"{unit.label} {measure.key} {kind}": float(measure.finish(np.sum(rows, axis=0)))
        for kind, rows in sorted(kinds.items())
    }
