"""GranD-f: captions of images whose phrases point at masks, from four sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.datasets.files import open_frames, read_json, reading
from benchmarks.datasets.published import published
from benchmarks.datasets.segments import Segmentation, still
from grounding_core.datasets import known_split
from grounding_core.interfaces.dataset import Dataset, Part, Published, Sample, Truth
from grounding_core.types import GroundedText, Query, Span
from grounding_core.video import Video

SOURCE = "https://github.com/mbzuai-oryx/groundingLMM/blob/main/docs/datasets.md"
HOME = "grandf_dataset"
FEWEST_WORDS, SMALLEST_SIDE = 3, 32
"""Flickr captions and images below these are left out."""

Phrase = tuple[int, int, Segmentation]
"""Characters [start, end) of the caption, and what they point at."""


@dataclass(frozen=True)
class Entry:
    """One image of any source: file name below the source's folder, caption, phrases in the file's order."""

    file: str
    caption: str
    phrases: Sequence[Phrase]


@dataclass(frozen=True)
class Subset:
    """A source: its annotation file, the folder of its images, and how its entries are read."""

    file: str
    images: str
    entries: Callable[[Path, Any], Iterator[Entry]]


class GranDf(Dataset):
    """``grandf_dataset/GranD-f/train/*.json`` and four image folders; images are one-frame videos.

    The split ``train`` is all four sources; each is a split of its own too. What a phrase points at is what
    VideoGLaMM's loaders make of the files: offsets count in the caption without its quotation marks; of
    Flickr only an object's first phrase counts; RefCOCOg captions are lower case, a phrase is where it is
    first found, and one that runs into the next ends before it.
    """

    tasks: ClassVar[tuple[str, ...]] = ("gcg",)
    default_split: ClassVar[str] = "train"
    licence: ClassVar[str] = f"research only (images of COCO, Flickr30k, SA-1B); {SOURCE}"
    splits: ClassVar[Mapping[str, Published]] = published("grandf")

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample an image with phrases, ``<source>/<number>``."""
        found = []
        for name in _named(split):
            path = self._annotations / SUBSETS[name].file
            images = self.root / HOME / SUBSETS[name].images
            content = read_json(path, SOURCE)
            with reading(path, "the file"):
                for index, entry in enumerate(SUBSETS[name].entries(path, content)):
                    if entry.phrases:
                        found.append(_sample(f"{name}/{index:06d}", path, images, entry, name))
        return sorted(found, key=lambda sample: sample.id)

    def parts(self, split: str) -> Sequence[Part]:
        """For each source captions with masks, and images."""
        needed = [SUBSETS[name] for name in _named(split)]
        files = [Part(f"{HOME}/GranD-f/train/{it.file}", "captions and masks", SOURCE) for it in needed]
        return [*files, *(Part(f"{HOME}/{it.images}", "images", SOURCE) for it in needed)]

    @property
    def _annotations(self) -> Path:
        return self.root / HOME / "GranD-f" / "train"


def _named(split: str) -> list[str]:
    known_split("grandf", GranDf, split)
    return list(SUBSETS) if split == "train" else [split.removeprefix("train-")]


def _sample(id: str, path: Path, images: Path, entry: Entry, source: str) -> Sample:
    file = images / entry.file
    opening = partial(open_frames, file.with_suffix(".mp4"), [file])
    return Sample(
        id=id,
        video_id=f"{source}/{entry.file}",
        query=Query(kind="describe"),
        open_video=opening,
        load_truth=partial(_truth, path, id, entry, opening),
        tags={"source": source},
    )


def _truth(path: Path, id: str, entry: Entry, opening: partial[Video]) -> Truth:
    """A track a phrase; phrases at the same place are one span with several tracks."""
    size = opening().size
    with reading(path, f"image {entry.file} ({id})"):
        tracks = tuple(still(index, phrase[2], size) for index, phrase in enumerate(entry.phrases))
        places: dict[tuple[int, int], list[int]] = {}
        for index, (start, end, _) in enumerate(entry.phrases):
            places.setdefault((start, end), []).append(index)
        spans = tuple(Span(start, end, tuple(ids)) for (start, end), ids in sorted(places.items()))
        return Truth(tracks=tracks, caption=GroundedText(entry.caption, spans, tracks))


def _grounded(path: Path, content: Sequence[Mapping[str, Any]]) -> Iterator[Entry]:
    """Human annotations and OpenPSG: ``groundings`` by word, with offsets and RLE masks."""
    for item in content:
        with reading(path, f"image {item.get('file_name')}"):
            phrases = [
                (int(it["token_positives"][0]), int(it["token_positives"][1]), it["rle_masks"])
                for it in item["groundings"].values()
            ]
            entry = Entry(str(item["file_name"]), _unquoted(item["caption"]), phrases)
        yield entry


def _flickr(path: Path, content: Mapping[str, Any]) -> Iterator[Entry]:
    """Flickr30k in COCO's form: an annotation is an object with a box and SAM's mask of it."""
    objects: dict[Any, list[Mapping[str, Any]]] = {}
    for annotation in content["annotations"]:
        objects.setdefault(annotation["image_id"], []).append(annotation)
    for image in content["images"]:
        with reading(path, f"image {image.get('file_name')}"):
            caption, size = str(image["caption"]), (int(image["width"]), int(image["height"]))
            if len(caption.split(" ")) < FEWEST_WORDS or min(size) < SMALLEST_SIDE:
                continue
            phrases = [
                (int(it["tokens_positive"][0][0]), int(it["tokens_positive"][0][1]), it["sam_mask"])
                for it in objects.get(image["id"], ())
                if _usable(it, size)
            ]
            entry = Entry(str(image["file_name"]), caption, phrases)
        yield entry


def _usable(annotation: Mapping[str, Any], size: tuple[int, int]) -> bool:
    """Whether an object is meant to be found and has some area inside the image."""
    x, y, width, height = (float(value) for value in annotation["bbox"])
    inside = min(x + width, size[0]) > max(x, 0) and min(y + height, size[1]) > max(y, 0)
    large = width >= 1 and height >= 1 and float(annotation["area"]) > 0
    return inside and large and not annotation.get("ignore", False)


def _refcocog(path: Path, content: Sequence[Mapping[str, Any]]) -> Iterator[Entry]:
    """RefCOCOg: expressions with polygons, to be found in a caption made of them."""
    for item in content:
        (image,) = item.values()
        with reading(path, f"image {image.get('img_file_name')}"):
            caption = _unquoted(image["caption"]).lower()
            found = []
            for ref in image["refs"]:
                phrase = str(ref["sentence"]).lower()
                start = caption.find(phrase)
                if start >= 0:
                    found.append((start, start + len(phrase), ref["segmentation"]))
            entry = Entry(str(image["img_file_name"]), caption, _apart(caption, found))
        yield entry


def _apart(caption: str, phrases: Sequence[Phrase]) -> list[Phrase]:
    """Phrases in text order; one that runs into a later one ends before it."""
    starts = sorted({start for start, _, _ in phrases})
    apart = []
    for start, end, segmentation in sorted(phrases, key=lambda phrase: phrase[:2]):
        following = next((later for later in starts if later > start), len(caption))
        words = caption[start : min(end, following)].rstrip()
        apart.append((start, start + len(words), segmentation))
    return apart


def _unquoted(caption: str) -> str:
    return str(caption).strip('"').strip()


SUBSETS = {
    "human": Subset("GranDf_HA_GCG_train.json", "GranDf_HA_images/train", _grounded),
    "openpsg": Subset("OpenPsgGCG_train.json", "coco_2017", _grounded),
    # The folder's name is misspelled in the reference, and people's data follow it.
    "flickr": Subset("flickr_mergedGT_GCG_train.json", "flikcr_30k/train", _flickr),
    "refcocog": Subset("RefCOCOg_GCG_train.json", "coco_2014/train2014", _refcocog),
}
