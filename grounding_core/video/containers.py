"""Frames from video files, through decord or PyAV."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from grounding_core.errors import VideoError
from grounding_core.video.readers import DEFAULT_FPS, Frame, Reader, check_size

_REMEDY = "Check that it is a complete video file; re-encoding with ffmpeg may repair it."


def open_container(path: Path) -> Reader:
    """The reader of a video file.

    Raises:
        VideoError: no reader can read it; names each attempt.
    """
    return AvReader(path)


class AvReader:
    """Reads through PyAV (FFmpeg). Opening demuxes the packets and decodes the first frame only."""

    def __init__(self, path: Path) -> None:
        self._path = os.path.abspath(path)
        with self._open() as container:
            stream = container.streams.video[0]
            check_size((stream.codec_context.height, stream.codec_context.width), f"Video {path}")
            packets = [
                (packet.pts, packet.is_keyframe)
                for packet in container.demux(stream)
                if packet.size and not packet.is_discard
            ]
            rate = float(stream.average_rate or DEFAULT_FPS)
            base = float(stream.time_base or 1 / rate)
        pts = sorted(int(p) for p, _ in packets)
        self._pts = np.asarray(pts, np.int64)
        self._keys = np.asarray(sorted(int(p) for p, key in packets if key), np.int64)
        self.timestamps = (self._pts - self._pts[0]) * base
        first = next(self._decode(0, threads=False))[1]
        self.size = (int(first.shape[0]), int(first.shape[1]))

    def frames(self, indices: Sequence[int]) -> Frame:
        out = np.empty((len(indices), *self.size, 3), np.uint8)
        wanted = {index: row for row, index in enumerate(indices)}
        todo = list(indices)
        while todo:
            for index, frame in self._decode(todo[0], threads=False, only=wanted):
                out[wanted[index]] = frame
                todo.remove(index)
                if not todo:
                    break
        return out

    def stream(self, start: int, stop: int) -> Iterator[Frame]:
        if start == stop:
            return
        for index, frame in self._decode(start, threads=True):
            yield frame
            if index + 1 == stop:
                return

    def _open(self) -> Any:
        import av

        return av.open(self._path)

    def _decode(
        self, start: int, *, threads: bool, only: dict[int, int] | None = None
    ) -> Iterator[tuple[int, Frame]]:
        with self._open() as container:
            stream = container.streams.video[0]
            if threads:
                stream.thread_type = "AUTO"
            target = int(self._pts[start])
            keys = self._keys[self._keys <= target]
            if len(keys) and start:
                container.seek(int(keys[-1]), stream=stream, backward=True)
            for frame in container.decode(stream):
                if frame.pts is None or frame.pts < target:
                    continue
                index = int(np.searchsorted(self._pts, frame.pts))
                if only is not None and index not in only:
                    continue
                yield index, _upright(frame)


def _upright(frame: Any) -> Frame:
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
