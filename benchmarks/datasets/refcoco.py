"""RefCOCO, RefCOCO+ and RefCOCOg: expressions for objects in COCO images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.datasets.files import open_frames, read_json, reading
from benchmarks.datasets.plain_pickle import read_plain_pickle
from benchmarks.datasets.published import published
from benchmarks.datasets.segments import Segmentation, still
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
from grounding_core.types import Query

SOURCE = "https://github.com/lichengunc/refer"
IMAGES = "refer_seg/images/mscoco/images/train2014"
COCO = "https://cocodataset.org/#download (2014 train images)"


class RefCOCO(Dataset):
    """``refer_seg/refcoco/{refs(unc).p, instances.json}`` and COCO's train2014 images as one-frame videos.

    The pickle is read as plain values only; ``refs(unc).json``, with the same content, is read in its place.
    ``testA`` takes in the splits "testA" and "testAB", as the official interface does.
    """

    tasks: ClassVar[tuple[str, ...]] = ("refseg",)
    default_split: ClassVar[str] = "val"
    licence: ClassVar[str] = (
        f"Apache-2.0 (expressions), CC BY 4.0 (COCO masks), Flickr terms (images); {SOURCE}"
    )
    splits: ClassVar[Mapping[str, Published]] = published("refcoco")
    folder: ClassVar[str] = "refcoco"
    by: ClassVar[str] = "unc"
    """Who split the set."""

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample a sentence, ``<image>/<sentence>``; sentences without words are left out."""
        home = self.root / "refer_seg" / self.folder
        path = home / f"refs({self.by}).p"
        text = path.with_suffix(".json")
        refs = read_json(text, SOURCE) if text.is_file() else read_plain_pickle(path, SOURCE)
        objects = home / "instances.json"
        content = read_json(objects, SOURCE)
        with reading(objects, "the file"):
            images = {image["id"]: image for image in content["images"]}
            annotations = {
                annotation["id"]: annotation["segmentation"] for annotation in content["annotations"]
            }
        found = []
        with reading(path, "the file"):
            for ref in refs:
                if _belongs(str(ref["split"]), split):
                    with reading(path, f"ref {ref['ref_id']}"):
                        image, segmentation = images[ref["image_id"]], annotations[ref["ann_id"]]
                        found += self._of_ref(path, ref, image, segmentation)
        return sorted(found, key=lambda sample: sample.id)

    def parts(self, split: str) -> Sequence[Part]:
        """Expressions, masks and images."""
        home = f"refer_seg/{self.folder}"
        text = f"{home}/refs({self.by}).json"
        refs = text if (self.root / text).is_file() else f"{home}/refs({self.by}).p"
        return [
            Part(refs, "expressions", SOURCE),
            Part(f"{home}/instances.json", "masks", SOURCE),
            Part(IMAGES, "images", COCO),
        ]

    def _of_ref(
        self, path: Path, ref: Mapping[str, Any], image: Mapping[str, Any], segmentation: Segmentation
    ) -> list[Sample]:
        # A ref's own file_name has a number behind it; the image's is the file's.
        name = str(image["file_name"])
        size = int(image["height"]), int(image["width"])
        file = self.root / IMAGES / name
        return [
            Sample(
                id=f"{image['id']}/{sentence['sent_id']}",
                video_id=name,
                query=Query(str(sentence["sent"])),
                open_video=partial(open_frames, file.with_suffix(".mp4"), [file]),
                load_truth=partial(_truth, path, ref["ref_id"], segmentation, size),
            )
            for sentence in ref["sentences"]
            if re.search(r"\w", str(sentence["sent"]))
        ]


class RefCOCOPlus(RefCOCO):
    """``refer_seg/refcoco+/``: as RefCOCO, expressions without words of place."""

    splits: ClassVar[Mapping[str, Published]] = published("refcoco+")
    folder: ClassVar[str] = "refcoco+"


class RefCOCOg(RefCOCO):
    """``refer_seg/refcocog/refs(umd).p``: as RefCOCO, longer expressions, split by images."""

    splits: ClassVar[Mapping[str, Published]] = published("refcocog")
    folder: ClassVar[str] = "refcocog"
    by: ClassVar[str] = "umd"


def _belongs(named: str, split: str) -> bool:
    if split in ("testA", "testB"):
        return named.startswith("test") and split[-1] in named
    return named == split


def _truth(path: Path, ref: int, segmentation: Segmentation, size: tuple[int, int]) -> Truth:
    with reading(path.with_name("instances.json"), f"the mask of ref {ref}"):
        return Truth(tracks=(still(0, segmentation, size),))
