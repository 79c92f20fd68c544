"""Reading annotation files: what is wrong is named, with where to get the right one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grounding_core.errors import DataError, GroundingError
from grounding_core.masks import MaskTrack, counts_of
from grounding_core.video import Video


def read_json(path: Path, source: str) -> Any:
    """Content of a JSON file.

    Args:
        path: the file.
        source: where the data set comes from, for the message.

    Raises:
        DataError: the file is missing or not JSON.
    """
    if not path.is_file():
        raise DataError(
            f"{path} is missing.", f"Get it from {source}, or point --data-root at the folder above it."
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}.", f"Get it again from {source}.") from error


def first_of(root: Path, names: Sequence[str]) -> Path:
    """The first of several places below ``root`` where something is; the first place if it is nowhere."""
    found = (root / name for name in names)
    return next((path for path in found if path.exists()), root / names[0])


@contextmanager
def reading(path: Path, entry: str) -> Iterator[None]:
    """Turn a missing or odd field of an entry into a DataError that names file and entry."""
    try:
        yield
    except DataError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, GroundingError) as error:
        fault = f"lacks {error}" if isinstance(error, KeyError) else f"is malformed: {error}"
        raise DataError(f"{path}: {entry} {fault}.", "Compare it with the data set's own format.") from error


def caption_files(folder: Path, source: str) -> list[Path]:
    """The JSON files of a folder, sorted by name.

    Raises:
        DataError: the folder is missing or holds none.
    """
    found = sorted(folder.glob("*.json"), key=lambda path: path.stem) if folder.is_dir() else []
    if not found:
        raise DataError(
            f"{folder} is missing, or holds no JSON file.",
            f"Get it from {source}, or point --data-root at the folder above it.",
        )
    return found


def open_frames(movie: Path, images: Sequence[Path]) -> Video:
    """The video file if it is there (one file to open), else the images beside it.

    Raises:
        DataError: neither is there.
    """
    if movie.is_file():
        return Video.open(movie)
    missing = next((path for path in images if not path.is_file()), None)
    if missing is not None or not images:
        raise DataError(
            f"Frames are missing: neither {movie.name} nor {missing or images} is there.",
            f"Put the data set's frames below {movie.parent}.",
        )
    return Video.open(list(images))


def track(
    id: int, rles: Sequence[Mapping[str, Any] | None], size: tuple[int, int] | None = None
) -> MaskTrack:
    """A track of COCO RLE objects, None where the object is not visible.

    Raises:
        ValueError: no entry tells the size, and none is given.
    """
    sizes = {(int(rle["size"][0]), int(rle["size"][1])) for rle in rles if rle is not None}
    if size is not None:
        sizes.add(size)
    if len(sizes) != 1:
        raise ValueError(f"masks of track {id} have sizes {sorted(sizes)}")
    return MaskTrack(id, sizes.pop(), tuple(counts_of(rle) for rle in rles))


def tags_of(entry: Mapping[str, Any]) -> dict[str, str]:
    """The optional field ``tags``."""
    return {str(key): str(value) for key, value in entry.get("tags", {}).items()}
