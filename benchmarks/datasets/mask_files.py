"""Masks as referring data sets store them: a JSON of RLE tracks by annotation id, or a PNG a frame."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.datasets.files import read_json, track
from grounding_core.errors import DataError
from grounding_core.masks import MaskTrack, encode, unite

BACKGROUND, VOID = 0, 255
"""Labels that are no object: nothing, and pixels that DAVIS does not score."""

Labels = npt.NDArray[np.uint8]


def read_mask_dict(path: Path, source: str) -> Mapping[str, Any]:
    """A JSON file of masks, remembered for as long as it stays the same on disk: a split needs one at a time.

    Raises:
        DataError: the file is missing or not JSON.
    """
    if not path.is_file():
        read_json(path, source)
    state = path.stat()
    return _remembered(path, source, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _remembered(path: Path, source: str, modified: int, size: int) -> Mapping[str, Any]:
    found: Mapping[str, Any] = read_json(path, source)
    return found


def union_of(
    masks: Mapping[str, Sequence[Mapping[str, Any] | None]],
    ids: Sequence[str],
    frames: int,
    size: Callable[[], tuple[int, int]],
) -> MaskTrack:
    """The union of several annotations of a mask dictionary; no ids give a track that is never visible.

    Args:
        masks: annotation id -> one COCO RLE object or null a frame.
        ids: what to unite.
        frames: length of the video.
        size: asked for (H, W) where no mask tells.

    Raises:
        KeyError, ValueError: an annotation is not there, or does not fit the video.
    """
    for key in ids:
        if len(masks[key]) != frames:
            raise ValueError(f"{len(masks[key])} masks for {frames} frames")
    told = next((rle["size"] for key in ids for rle in masks[key] if rle is not None), None)
    known = size() if told is None else (int(told[0]), int(told[1]))
    tracks = [track(index, masks[key], known) for index, key in enumerate(ids)]
    return unite(tracks) if tracks else MaskTrack(0, known, (None,) * frames)


@lru_cache(maxsize=4)
def label_tracks(folder: Path, names: tuple[str, ...], source: str) -> Mapping[int, MaskTrack]:
    """The tracks of all labels in a folder of label images ``<name>.png``, read once for a video's questions.

    Objects and 255 (void) have a track each; that of label 0 is never visible, and tells the size.

    Raises:
        DataError: an image is missing, can't be read, or differs in size from the first.
    """
    frames: dict[int, dict[int, bytes | None]] = {}
    size: tuple[int, int] | None = None
    for index, name in enumerate(names):
        labels = read_labels(folder / f"{name}.png", source)
        if size is not None and labels.shape != size:
            raise DataError(
                f"{folder / name}.png is {labels.shape}, but images before it are {size}.",
                f"Get it again from {source}.",
            )
        size = (int(labels.shape[0]), int(labels.shape[1]))
        for label in np.unique(labels):
            if label != BACKGROUND:
                frames.setdefault(int(label), {})[index] = encode(labels == label)
    if size is None:
        raise DataError(f"{folder} is asked for no frames.", "Check the annotation file.")
    return {
        label: MaskTrack(0, size, tuple(seen.get(index) for index in range(len(names))))
        for label, seen in {**frames, BACKGROUND: {}}.items()
    }


def read_labels(path: Path, source: str) -> Labels:
    """uint8 (H, W): the palette's index of each pixel, or the grey value.

    Raises:
        DataError: the file is missing, damaged, or a colour picture.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L", "1"):
                raise ValueError(f"its pixels are {image.mode}, expected palette indices or grey values")
            return np.asarray(image).astype(np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        fault = "is missing" if isinstance(error, FileNotFoundError) else f"can't be read: {error}"
        raise DataError(f"The mask {path} {fault}.", f"Get it from {source}.") from error


def object_track(folder: Path, names: Sequence[str], label: int, source: str) -> MaskTrack:
    """The track of one label; never visible where no frame shows it.

    Raises:
        DataError: as `label_tracks`.
    """
    tracks = label_tracks(folder, tuple(names), source)
    return tracks.get(label, tracks[BACKGROUND])


def hidden(name: str, split: str, instead: str, public: Collection[str]) -> DataError:
    """What to raise where the truth of a split is not public."""
    return DataError(
        f"{name} publishes no masks for its split {split}.",
        f"Score {' or '.join(public)}, or {instead}.",
    )
