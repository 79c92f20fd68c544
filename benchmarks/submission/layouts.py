"""Where evaluation servers want each mask: one class a format of PNG files."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from benchmarks.submission.archives import outside
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Sample

MAX_OBJECTS = 255
"""Colours of a palette, without the background's."""


class Layout(ABC):
    """Names of the PNG files of a submission.

    Args:
        samples: all of the split.
    """

    title: ClassVar[str]
    palette: ClassVar[bool] = False
    """One picture holds several objects, each with its own colour."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples

    @abstractmethod
    def folder(self, sample: Sample) -> str:
        """The folder of a sample's pictures."""

    def value(self, sample: Sample) -> int:
        """The sample's colour, 1 or more, in a picture with a palette."""
        return 1

    def name(self, sample: Sample, frame: int) -> str:
        """The picture of a frame."""
        name = f"{self.folder(sample)}/{self.stem(sample, frame)}.png"
        if outside(name):
            raise DataError(f"Sample {sample.id!r} leads to the path {name!r}.", "Rename it in the data set.")
        return name

    def stem(self, sample: Sample, frame: int) -> str:
        """The data set's own name of a frame."""
        return sample.frame_names[frame] if sample.frame_names else f"{frame:05d}"


class MeViSLayout(Layout):
    """``<video>/<expression>/00000.png``; frames are counted. Source: the MeViS evaluation server."""

    title = "MeViS zip"

    def folder(self, sample: Sample) -> str:
        """Video and expression."""
        return f"{sample.video_id}/{expression(sample)}"

    def stem(self, sample: Sample, frame: int) -> str:
        """Counted from 0, whatever the data set calls it."""
        return f"{frame:05d}"


class RefYouTubeVOSLayout(Layout):
    """``Annotations/<video>/<expression>/<frame name>.png``. Source: the Ref-YouTube-VOS server."""

    title = "Ref-YouTube-VOS zip"

    def folder(self, sample: Sample) -> str:
        """Video and expression below ``Annotations``."""
        return f"Annotations/{sample.video_id}/{expression(sample)}"


class DAVISLayout(Layout):
    """``[anno_<k>/]<video>/<frame name>.png``, a palette picture with all objects of a video.

    A sample's colour is its tag ``object``, else its place among the video's expressions. Where samples have
    the tag ``annotator``, as those of Ref-DAVIS17, each annotator has a tree, ``anno_0`` and so on in the
    order of their names. Where masks overlap, the smaller colour wins.
    Source: the DAVIS 2017 result format, and ReferFormer's trees of Ref-DAVIS17.
    """

    title = "DAVIS tree"
    palette = True

    def __init__(self, samples: Sequence[Sample]) -> None:
        super().__init__(samples)
        self._values = _numbered(samples)
        self._annotators = sorted({s.tags["annotator"] for s in samples if "annotator" in s.tags})

    def folder(self, sample: Sample) -> str:
        """Annotator, if there are several, and video."""
        annotator = sample.tags.get("annotator")
        if annotator is None:
            return sample.video_id
        return f"anno_{self._annotators.index(annotator)}/{sample.video_id}"

    def value(self, sample: Sample) -> int:
        """The object's number, else the expression's place."""
        return self._values[sample.id]


LAYOUTS: Mapping[str, type[Layout]] = {
    "mevis": MeViSLayout,
    "ref-youtube-vos": RefYouTubeVOSLayout,
    "davis": DAVISLayout,
}


def expression(sample: Sample) -> str:
    """What the sample's id says beside its video."""
    return sample.id.removeprefix(f"{sample.video_id}/")


def _numbered(samples: Sequence[Sample]) -> dict[str, int]:
    values: dict[str, int] = {}
    taken: dict[tuple[str, str], int] = {}
    for sample in sorted(samples, key=lambda sample: _natural(sample.id)):
        group = sample.tags.get("annotator", ""), sample.video_id
        taken[group] = taken.get(group, 0) + 1
        values[sample.id] = int(sample.tags.get("object", taken[group]))
        if values[sample.id] > MAX_OBJECTS:
            raise DataError(
                f"Video {sample.video_id} has more than {MAX_OBJECTS} expressions, a palette's colours.",
                "Use another format.",
            )
    return values


def _natural(text: str) -> list[tuple[int, int, str]]:
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", text) if p]
