"""Predictions that other programs made, from files that nobody vouches for."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.store import Prediction
from benchmarks.submission.archives import Archive, opened
from benchmarks.submission.layouts import LAYOUTS, Layout
from grounding_core.errors import DataError, GroundingError
from grounding_core.interfaces.dataset import Sample
from grounding_core.masks import MaskTrack, counts_of, encode, runs_of
from grounding_core.serial import from_json
from grounding_core.types import GroundedText, Span

MAX_JSON = 8 << 30
"""Bytes of a JSON file."""

MISSING = "not in the submission"

Size = tuple[int, int]


def read(format: str, path: Path, samples: Sequence[Sample], whole: Sequence[Sample]) -> Iterator[Prediction]:
    """A prediction for every sample, as the file tells; an error for one that it lacks or gets wrong.

    Args:
        format: one of `benchmarks.submission.write.FORMATS`.
        path: the file or folder.
        samples: what was asked.
        whole: all samples of the split, by which objects are numbered.

    Raises:
        DataError: nothing in the file belongs to the samples, or it can't be trusted.
    """
    if format in LAYOUTS:
        layout = LAYOUTS[format](whole)
        with opened(path) as archive:
            yield from _pictures(layout, archive, samples)
        return
    entries = _entries(format, path)
    _check_found(path, [sample for sample in samples if sample.id in entries], entries, samples)
    for sample in samples:
        yield _from_entry(format, sample, entries.get(sample.id))


def digest(format: str, path: Path) -> str:
    """A hash of what `read` reads."""
    if format in LAYOUTS:
        with opened(path) as archive:
            return archive.digest()
    content = hashlib.sha256()
    with _file(path).open("rb") as handle:
        while block := handle.read(1 << 22):
            content.update(block)
    return content.hexdigest()[:16]


def _pictures(layout: Layout, archive: Archive, samples: Sequence[Sample]) -> Iterator[Prediction]:
    folders = {name.rpartition("/")[0] for name in archive.names}
    there = [sample for sample in samples if layout.folder(sample) in folders]
    _check_found(archive.path, there, archive.names, samples, layout.folder(samples[0]))
    for folder, group in groupby(sorted(samples, key=layout.folder), key=layout.folder):
        together = list(group)
        if folder not in folders:
            yield from (Prediction(sample.id, None, 0.0, MISSING) for sample in together)
            continue
        try:
            tracks = _tracks(layout, archive, together)
        except GroundingError as error:
            yield from (Prediction(sample.id, None, 0.0, str(error)) for sample in together)
            continue
        for sample, track in zip(together, tracks, strict=True):
            yield Prediction(sample.id, _pointing(sample, track), 0.0)


def _tracks(layout: Layout, archive: Archive, samples: Sequence[Sample]) -> list[MaskTrack]:
    """Tracks of samples that share their pictures, each picture read once."""
    video = samples[0].open_video()
    names = [layout.name(samples[0], frame) for frame in range(len(video))]
    missing = [name for name in names if name not in archive.names]
    if missing:
        raise DataError(f"{len(missing)} of {len(names)} pictures are missing, e.g. {missing[0]}.")
    masks: list[list[bytes | None]] = [[] for _ in samples]
    for name in names:
        picture = _picture(archive.read(name), name, video.size)
        for place, sample in enumerate(samples):
            mask = picture == layout.value(sample) if layout.palette else picture > 0
            masks[place].append(encode(mask))
    return [MaskTrack(0, video.size, tuple(counts)) for counts in masks]


def _picture(content: bytes, name: str, size: Size) -> npt.NDArray[np.uint8]:
    """Values (H, W) of a PNG with a palette, in grey, or in colour (then the brightest channel); no alpha."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            # Before a pixel is unpacked: a small file can hold a huge picture.
            if (image.height, image.width) != size:
                raise DataError(
                    f"{name} is {image.width}x{image.height}, its video {size[1]}x{size[0]}.",
                    "Masks must have the video's own size.",
                )
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is no readable PNG: {error}.", "Write it again.") from error
    if values.ndim == 2:
        return values
    return np.asarray(values[..., 0] if values.shape[-1] == 2 else values[..., :3].max(axis=-1))


def _pointing(sample: Sample, track: MaskTrack) -> GroundedText:
    text = sample.query.text
    if not any(track.frames):
        return GroundedText(text)
    return GroundedText(text, (Span(0, len(text), (track.id,)),) if text else (), (track,))


def _file(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"There is no file {path}.", "Name a JSON file.")
    if path.stat().st_size > MAX_JSON:
        raise DataError(f"{path} is larger than {MAX_JSON >> 30} GiB.", "Split it.")
    return path


def _entries(format: str, path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        with _file(path).open(encoding="utf-8") as handle:
            lines = json.load(handle) if format == "coco-rle" else [json.loads(line) for line in handle]
        return {str(entry["id"]): entry for entry in lines}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path} is not {format}: {type(error).__name__}: {error}.",
            "Every entry has an id; see the docs.",
        ) from error


def _from_entry(format: str, sample: Sample, entry: Mapping[str, Any] | None) -> Prediction:
    if entry is None:
        return Prediction(sample.id, None, 0.0, MISSING)
    try:
        if format == "jsonl":
            video = sample.open_video()
            for track in entry["tracks"]:
                _checked(track["frames"], video.size, len(video))
            sampled = (entry.get("meta") or {}).get("sampled_frames") or ()
            if not all(isinstance(frame, int) for frame in sampled):
                raise ValueError("meta.sampled_frames are no frame numbers")
            return Prediction(sample.id, from_json(entry), float(entry.get("seconds", 0.0)))
        video = sample.open_video()
        track = _checked(entry["segmentations"], video.size, len(video))
        return Prediction(sample.id, _pointing(sample, track), 0.0)
    except GroundingError as error:
        return Prediction(sample.id, None, 0.0, str(error))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        return Prediction(sample.id, None, 0.0, f"malformed: {type(error).__name__}: {error}")


def _checked(rles: Sequence[Mapping[str, Any] | None], size: Size, length: int) -> MaskTrack:
    """A track whose codes fill exactly its frames: the decoder itself reads past the end of others."""
    if len(rles) != length:
        raise ValueError(f"{len(rles)} masks for {length} frames")
    frames: list[bytes | None] = []
    for rle in rles:
        counts = None if rle is None else counts_of(rle)
        runs = runs_of(counts or b"")
        if rle is not None and (list(rle["size"]) != list(size) or sum(runs) != size[0] * size[1]):
            raise ValueError(f"a mask of {rle['size']} does not fill frames of {list(size)}")
        frames.append(counts if any(runs[1::2]) else None)
    return MaskTrack(0, size, tuple(frames))


def _check_found(
    path: Path, there: Sequence[Sample], names: Iterable[str], samples: Sequence[Sample], example: str = ""
) -> None:
    if not there:
        first = next(iter(sorted(names)), "nothing")
        raise DataError(
            f"{path} has none of the {len(samples)} samples; it holds {first!r}, and so on.",
            f"It should hold {example or samples[0].id!r}. Check the format, the data set and the split.",
        )
