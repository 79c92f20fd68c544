"""Predictions to files that evaluation servers and other programs read."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.store import Prediction
from benchmarks.submission.layouts import LAYOUTS, Layout
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Sample
from grounding_core.masks import MaskTrack, unite
from grounding_core.serial import to_json

Found = Mapping[str, Prediction]
Put = Callable[[str, bytes], None]

FORMATS = (*LAYOUTS, "coco-rle", "jsonl")


def write(format: str, samples: Sequence[Sample], whole: Sequence[Sample], found: Found, out: Path) -> int:
    """Write answers; samples without one are left out.

    Args:
        format: one of ``FORMATS``.
        samples: what was asked.
        whole: all samples of the split, by which objects are numbered.
        found: predictions by sample id.
        out: a file; a folder for a format of folders unless it ends in .zip. Must not be there yet.

    Returns:
        How many samples were written.

    Raises:
        DataError: ``out`` is there, or the disk refuses.
    """
    answered = [sample for sample in samples if _answer(sample, found) is not None]
    if not answered:
        raise DataError("The run has no answer to write.", "See its errors in report.md.")
    if out.exists():
        raise DataError(f"{out} is already there.", "Name another --out, or remove it.")
    partial = out.with_name(f".{out.name}.new")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove(partial)
        if format in LAYOUTS:
            layout = LAYOUTS[format](whole)
            with _target(partial, packed=out.suffix == ".zip" or not layout.palette) as put:
                _pictures(layout, answered, found, put)
        else:
            _json(format, answered, found, partial)
        os.replace(partial, out)
    except OSError as error:
        raise DataError(f"Can't write {out}: {error.strerror or error}.", "Free some space.") from error
    finally:
        _remove(partial)
    return len(answered)


def _answer(sample: Sample, found: Found) -> Any:
    prediction = found.get(sample.id)
    return None if prediction is None else prediction.answer


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


@contextmanager
def _target(path: Path, *, packed: bool) -> Iterator[Put]:
    if packed:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # PNG is packed already
            # A fixed date: the same masks give the same file.
            yield lambda name, content: archive.writestr(zipfile.ZipInfo(name), content)
        return

    def put(name: str, content: bytes) -> None:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    yield put


def _pictures(layout: Layout, samples: Sequence[Sample], found: Found, put: Put) -> None:
    for _, group in groupby(sorted(samples, key=layout.folder), key=layout.folder):
        together = sorted(group, key=layout.value)
        video = together[0].open_video()
        tracks = [(layout.value(s), _track(s, found, video.size, len(video))) for s in together]
        for frame in range(len(video)):
            picture = np.zeros(video.size, dtype=np.uint8)
            for value, track in tracks:
                if track.frames[frame] is not None:
                    picture[track.mask(frame) & (picture == 0)] = value
            put(layout.name(together[0], frame), _png(picture, palette=layout.palette))


def _track(sample: Sample, found: Found, size: tuple[int, int], length: int) -> MaskTrack:
    """The union of an answer's tracks; one without a mask is empty everywhere."""
    tracks = _answer(sample, found).tracks
    track = unite(tracks) if tracks else MaskTrack(0, size, (None,) * length)
    if (track.size, len(track)) != (size, length):
        raise DataError(
            f"The answer to {sample.id} has {len(track)} frames of {track.size}, "
            f"its video {length} of {size}.",
            "Leave the sample out with --ids when you run, or mend the model.",
        )
    return track


def _png(picture: npt.NDArray[np.uint8], *, palette: bool) -> bytes:
    buffer = io.BytesIO()
    if palette:
        image = Image.fromarray(picture, mode="P")
        image.putpalette(_davis_colours())
    else:
        image = Image.fromarray(picture * 255)
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _davis_colours() -> list[int]:
    """The palette of PASCAL VOC and DAVIS: bits of the index, three at a time, from the highest down."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((np.arange(256) >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return [int(value) for value in colours.reshape(-1)]


def _json(format: str, samples: Sequence[Sample], found: Found, path: Path) -> None:
    lines = (_coco(s, found) if format == "coco-rle" else _line(s, found) for s in samples)
    with path.open("w", encoding="utf-8") as file:
        if format == "jsonl":
            file.writelines(line + "\n" for line in lines)
            return
        file.write("[")
        for number, line in enumerate(lines):
            file.write((",\n" if number else "\n") + line)
        file.write("\n]\n")


def _line(sample: Sample, found: Found) -> str:
    return json.dumps({"id": sample.id, **to_json(_answer(sample, found))}, ensure_ascii=False)


def _coco(sample: Sample, found: Found) -> str:
    video = sample.open_video()
    track = _track(sample, found, video.size, len(video))
    entry = {"id": sample.id, "video_id": sample.video_id, "segmentations": track_frames(track)}
    return json.dumps(entry)


def track_frames(track: MaskTrack) -> list[dict[str, Any] | None]:
    """A track as COCO RLE objects, None where nothing is visible."""
    size = list(track.size)
    return [None if c is None else {"size": size, "counts": c.decode("ascii")} for c in track.frames]
