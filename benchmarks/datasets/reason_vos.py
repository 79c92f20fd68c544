"""ReasonVOS: expressions that need reasoning, on videos of four other sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.datasets.expressions import Entry, read_videos, samples_of
from benchmarks.datasets.files import open_frames
from benchmarks.datasets.mask_files import read_labels
from benchmarks.datasets.published import published
from grounding_core.datasets import known_split
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
from grounding_core.masks import MaskTrack, encode
from grounding_core.types import Query
from grounding_core.video import Video

SOURCE = "https://github.com/showlab/VideoLISA/blob/main/BENCHMARK.md"


class ReasonVOS(Dataset):
    """``ReasonVOS/{meta_expressions.json, JPEGImages/<video>/, Annotations/<source>_<video>_<object>/}``.

    Expressions are a list; one that is a sentence (``is_sent``) is asked as a question. A mask is every pixel
    that is not 0. Frames without a mask file carry no truth and are not scored.
    """

    tasks: ClassVar[tuple[str, ...]] = ("refseg",)
    default_split: ClassVar[str] = "test"
    licence: ClassVar[str] = f"research only, as its videos (BURST, VIPSeg, MOSE, MeViS); {SOURCE}"
    splits: ClassVar[Mapping[str, Published]] = published("reason-vos")

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample an expression, ``<source>_<video>_<object>/<expression>`` as in its result folders."""
        known_split("reason-vos", ReasonVOS, split)
        path = self.root / "ReasonVOS" / "meta_expressions.json"
        return samples_of(path, read_videos(path, SOURCE), partial(_of_video, path.parent))

    def parts(self, split: str) -> Sequence[Part]:
        """Expressions, frames and masks."""
        return [
            Part("ReasonVOS/meta_expressions.json", "expressions", SOURCE),
            Part("ReasonVOS/JPEGImages", "frames", SOURCE),
            Part("ReasonVOS/Annotations", "masks", SOURCE),
        ]


def _of_video(folder: Path, video: str, entry: Entry) -> list[Sample]:
    return [_sample(folder, video, entry, item) for item in entry["expressions"]]


def _sample(folder: Path, video: str, entry: Entry, item: Mapping[str, Any]) -> Sample:
    source = str(entry["source"])
    masks = f"{source}_{video}_{item['obj_id']}"
    sentence = bool(int(item["is_sent"]))
    return Sample(
        id=f"{masks}/{item['exp_id']}",
        video_id=video,
        query=Query(str(item["exp_text"]), "ask" if sentence else "refer"),
        open_video=partial(_open, folder / "JPEGImages" / video),
        load_truth=partial(_truth, folder / "JPEGImages" / video, folder / "Annotations" / masks),
        tags={"source": source, "form": "sentence" if sentence else "phrase"},
    )


def _names(folder: Path, ending: str) -> list[str]:
    """Frame names in the order that the reference takes: sorted as text.

    Raises:
        DataError: there is none.
    """
    names = sorted(path.stem for path in folder.glob(f"*.{ending}"))
    if not names:
        raise DataError(f"{folder} is missing, or holds no {ending} images.", f"Get it from {SOURCE}.")
    return names


def _open(images: Path) -> Video:
    return open_frames(images.with_name(f"{images.name}.mp4"), sorted(images.glob("*.jpg")))


def _truth(images: Path, masks: Path) -> Truth:
    places = {name: place for place, name in enumerate(_names(images, "jpg"))}
    frames: list[bytes | None] = [None] * len(places)
    sizes = set()
    annotated = _names(masks, "png")
    for name in annotated:
        if name not in places:
            raise DataError(
                f"{masks / name}.png belongs to no frame of {images}.", f"Get both from {SOURCE}."
            )
        mask = read_labels(masks / f"{name}.png", SOURCE) > 0
        frames[places[name]] = encode(mask)
        sizes.add(mask.shape)
    if len(sizes) > 1:
        raise DataError(f"The masks in {masks} have sizes {sorted(sizes)}.", f"Get them again from {SOURCE}.")
    track = MaskTrack(0, sizes.pop(), tuple(frames))
    seen = None if len(annotated) == len(frames) else tuple(places[name] for name in annotated)
    return Truth(tracks=(track,), annotated=seen)
