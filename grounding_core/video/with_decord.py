"""Frames through decord, which is optional: it has no wheels for every machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from grounding_core.video.containers import DecodeError, Index
from grounding_core.video.readers import MAX_PIXELS, Frame

_BATCH_BYTES = 32 << 20

_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot"})
"""What an mp4 or mov file may begin with, after four bytes of length."""


def read_index(path: str) -> Index:
    """The frame index of a file that PyAV can't open.

    Raises:
        DecodeError: decord can't open it either.
    """
    with _silenced():
        reader = _reader(path)
        count = len(reader)
        first = _pixels(reader, [0])[0] if count else np.empty((0, 0, 3), np.uint8)
    height, width, channels = first.shape
    if channels != 3 or not 0 < height * width <= MAX_PIXELS:
        raise DecodeError(f"{count} frames of shape {first.shape}")
    order = np.arange(count, dtype=np.int64)
    return Index(pts=order, keys=order[:1], timestamps=_times(reader), size=(height, width), timed=False)


class DecordDecoder:
    """Decodes with one thread on the CPU.

    Raises:
        DecodeError: decord is not installed, can't open the file, or sees other frames than the
            index lists.
    """

    name = "decord"

    def __init__(self, path: str, index: Index) -> None:
        if index.rotated:
            raise DecodeError("it does not rotate frames")
        if not index.seekable:
            raise DecodeError("it can't seek in files without an index")
        if not index.exact:
            # It counts on from the key frame that it seeks to, whichever frame comes first there.
            raise DecodeError("it would lose count after a seek")
        self._path = path
        times = _times(_reader(path))
        if len(times) != len(index.timestamps) or not np.allclose(times, index.timestamps, atol=2e-3):
            raise DecodeError(f"it sees other frames: {len(times)} instead of {len(index.timestamps)}")

    def decode(self, indices: Sequence[int] | range) -> Iterator[Frame]:
        """See `grounding_core.video.containers.Decoder`."""
        if not len(indices):
            return
        reader = _reader(self._path)
        first = _pixels(reader, [indices[0]])
        yield first[0]
        step = max(1, min(16, _BATCH_BYTES // first.nbytes))
        for start in range(1, len(indices), step):
            yield from _pixels(reader, list(indices[start : start + step]))


def _reader(path: str) -> Any:
    try:
        import decord
    except (ImportError, OSError) as error:
        raise DecodeError(f"not installed ({_one_line(error)})") from error
    if not _holds_its_pictures(path):
        raise DecodeError("the file does not begin as mp4, mov, mkv, webm, avi or flv do")
    # Its FFmpeg writes every flaw of a damaged file to the screen; what matters is raised.
    decord.logging.set_level(decord.logging.QUIET)
    try:
        # fault_tol=1: an error where decord would otherwise repeat a neighbour of a damaged frame.
        return decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1, fault_tol=1)
    except _errors() as error:
        raise DecodeError(_one_line(error)) from error


def _holds_its_pictures(path: str) -> bool:
    """Whether a file begins as a container that decord is asked for.

    decord can't be told which formats to open, and its FFmpeg follows a playlist whatever its name is.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        return False
    avi = head[:4] == b"RIFF" and head[8:] == b"AVI "
    return head[4:8] in _BOXES or head.startswith((b"\x1aE\xdf\xa3", b"FLV")) or avi


def _errors() -> tuple[type[Exception], ...]:
    """What decord raises; its error for a frame not found by repeated tries is no DECORDError."""
    import decord
    from decord._ffi.base import DECORDLimitReachedError

    return RuntimeError, IndexError, decord.DECORDError, DECORDLimitReachedError


def _pixels(reader: Any, indices: list[int]) -> Frame:
    try:
        batch = reader.get_batch(indices)
    except _errors() as error:
        raise DecodeError(_one_line(error)) from error
    # A caller may have set decord's bridge to another array library.
    return np.asarray(batch.asnumpy() if hasattr(batch, "asnumpy") else batch, dtype=np.uint8)


def _times(reader: Any) -> npt.NDArray[np.float64]:
    count = len(reader)
    if count == 0:
        raise DecodeError("it sees no frames")
    try:
        spans = np.asarray(reader.get_frame_timestamp(range(count)), np.float64)
    except _errors() as error:
        raise DecodeError(_one_line(error)) from error
    return np.asarray(spans[:, 0] - spans[0, 0])


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep what decord's C++ prints on failure off the screen: the error raised says it better."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _one_line(error: BaseException) -> str:
    """The last sentence of decord's many-line messages, without the place in its source."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return text.split(".cc:")[-1].split(" ", 1)[-1].strip() if ".cc:" in text else text
