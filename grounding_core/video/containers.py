"""Frames from video files: what a container announces, and the decoders that fetch its frames."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from grounding_core.errors import VideoError
from grounding_core.video.readers import Admit, Frame


class DecodeError(Exception):
    """One decoder could not do it; another may. Never leaves this package."""


@dataclass(frozen=True)
class Index:
    """What is known of a file's frames without decoding them, in the order in which they are shown.

    Attributes:
        pts: int64 (t,), time of each frame in the stream's own units, strictly increasing; the
            frame's number where the stream has no times.
        keys: int64 (k,), the ``pts`` at which decoding can start.
        timestamps: float64 (t,), seconds from the first frame.
        size: (H, W) as shown, turned and mirrored.
        rotated: whether the file asks to be turned or mirrored for display.
        pixel_aspect: width of a pixel over its height, as shown.
        timed: whether decoded frames carry these ``pts``; otherwise they are counted.
        seekable: whether the file says where each frame starts.
        exact: whether a seek to a key frame leads to it, and all that follows it in the file can be
            decoded; not so with open GOPs (x265's default), with periodic refresh instead of whole
            key frames, and in MPEG program streams.
    """

    pts: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.float64]
    size: tuple[int, int]
    rotated: bool = False
    pixel_aspect: Fraction = Fraction(1)
    timed: bool = True
    seekable: bool = True
    exact: bool = True


class Decoder(Protocol):
    """Fetches the frames that an index lists; opens the file anew in each call.

    Attributes:
        name: for messages.
    """

    name: str

    def decode(self, indices: Sequence[int] | range) -> Iterator[Frame]:
        """uint8 (H, W, 3) of increasing indices; one after another, in bounded memory.

        Raises:
            DecodeError: a frame is missing or damaged.
        """


def open_container(path: Path, admit: Admit | None = None) -> ContainerReader:
    """The reader of a video file: decord where it is known to count as the container does, PyAV otherwise.

    The frame index comes from PyAV, which knows edit lists, rotation and variable frame rates.
    decord is asked first for the frames where its times are the index's. Times do not show which
    picture comes after a seek, so decord is not used where it returns wrong pictures, and no error:
    for rotated files, for streams without an index, and where seeks are not exact.

    Raises:
        VideoError: neither can open it (names both attempts), it has no pictures, or it is cut short.
    """
    from grounding_core.video import with_av, with_decord

    absolute = os.path.abspath(path)
    failures: dict[str, str] = {}
    index: Index | None = None
    decoders: list[Decoder] = []
    try:
        index = with_av.read_index(absolute, str(path), admit)
        decoders.append(with_av.AvDecoder(absolute, index))
    except DecodeError as error:
        failures["PyAV"] = str(error)
    try:
        if index is None:
            index = with_decord.read_index(absolute)
        decoders.insert(0, with_decord.DecordDecoder(absolute, index))
    except DecodeError as error:
        failures["decord"] = str(error)
    if index is None:
        attempts = "; ".join(f"{name}: {failures[name]}" for name in ("decord", "PyAV"))
        raise VideoError(
            f"Video {path} can't be opened ({attempts}).",
            "Check that it is a complete video file, or convert it to H.264 mp4 with ffmpeg.",
        )
    return ContainerReader(path, index, decoders)


class ContainerReader:
    """Frames of a video file, from the first of its decoders that delivers them."""

    def __init__(self, path: Path, index: Index, decoders: Sequence[Decoder]) -> None:
        self.files: Sequence[Path] = (path,)
        self._decoders = tuple(decoders)
        self.size = index.size
        self.pixel_aspect = index.pixel_aspect
        self.timestamps = index.timestamps

    def frames(self, indices: Sequence[int]) -> Frame:
        out = np.empty((len(indices), *self.size, 3), np.uint8)
        for row, frame in enumerate(self._decode(indices)):
            out[row] = frame
        return out

    def stream(self, start: int, stop: int) -> Iterator[Frame]:
        return self._decode(range(start, stop))

    def _decode(self, indices: Sequence[int] | range) -> Iterator[Frame]:
        done = 0
        failures: list[str] = []
        for decoder in self._decoders:
            try:
                for frame in decoder.decode(indices[done:]):
                    if frame.shape != (*self.size, 3):
                        raise DecodeError(f"its size changes to {frame.shape[1]}x{frame.shape[0]}")
                    yield frame
                    done += 1
            except DecodeError as error:
                failures.append(f"{decoder.name}: {error}")
            if done == len(indices):
                return
        raise VideoError(
            f"Frame {indices[done]} of {self.files[0]} can't be decoded ({'; '.join(failures)}).",
            "The file is damaged: copy or download it again, or repair it with ffmpeg.",
        )
