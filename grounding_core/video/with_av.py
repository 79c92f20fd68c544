"""The frame index of a file, and its frames, through PyAV (FFmpeg)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from grounding_core.errors import VideoError
from grounding_core.video.containers import DecodeError, Index
from grounding_core.video.readers import DEFAULT_FPS, Admit, Frame, check_size

# VP8 stores frames that are never shown as packets of their own, so packets can't be counted as frames.
_PACKETS_ARE_NOT_FRAMES = frozenset({"vp8"})

_FORMATS = ",".join(
    (
        "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,rm,mxf,gxf,nut,wtv,nsv,dv,swf",
        "h264,hevc,vvc,obu,ivf,m4v,h261,h263,vc1,vc1test,cavsvideo,dirac,mjpeg,mpjpeg,mjpeg_2000",
        "yuv4mpegpipe,gif,apng,webp_pipe,jpegxl_anim,jpegxl_pipe,j2k_pipe,jpeg_pipe,jpegls_pipe,png_pipe",
        "bmp_pipe,tiff_pipe,pbm_pipe,pgm_pipe,ppm_pipe,pam_pipe,qoi_pipe,exr_pipe,dpx_pipe",
        "mp3,wav,flac,aac",  # that they are sound is the better message
    )
)
"""FFmpeg's formats whose files hold their pictures themselves. Playlists and the like (hls, dash, concat,
image2) would have it open whatever files or addresses they name, before it says which format it saw."""

# MPEG program streams: after a seek into the middle of a frame, the next one's time goes to another.
_SEEKS_GO_ASTRAY = frozenset({"mpeg"})

_CHEAPER_THAN_A_SEEK = 12
"""Frames that are rather decoded and dropped than skipped by opening the file anew."""


def read_index(path: str, label: str, admit: Admit | None = None) -> Index:
    """The frame index, from packet headers and one decoded frame.

    Streams whose packets don't tell (missing or repeated times, hidden frames, a start that can't
    be decoded) are decoded once from end to end instead, keeping times only.

    Args:
        path: absolute.
        label: how messages name the file.
        admit: is told of the header before anything is decoded.

    Raises:
        DecodeError: PyAV can't open the file, or decode its first frame.
        VideoError: it has no pictures, is cut short, or claims absurd dimensions.
    """
    with _opened(path) as (container, stream):
        if stream is None:
            kinds = "sound but no pictures" if container.streams.audio else "no pictures"
            raise VideoError(f"Video {label} has {kinds}.", "Use a file with a video track.")
        if stream.codec_context is None:
            raise DecodeError("the codec of its pictures is unknown")
        size = (stream.codec_context.height, stream.codec_context.width)
        check_size(size, f"Video {label}")
        seekable = len(stream.index_entries) > 0
        # Facts alone: the packets themselves are the whole file.
        packets = [
            (packet.pts, packet.duration or 0, packet.is_keyframe)
            for packet in container.demux(stream)
            if packet.size and not packet.is_discard
        ]
        times = [(pts, key) for pts, _, key in packets if pts is not None]
        rate = float(stream.average_rate or DEFAULT_FPS)
        base = float(stream.time_base or 1 / rate)
        leading = _has_leading(packets)
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        astray = container.format.name in _SEEKS_GO_ASTRAY
        last = max((pts + duration for pts, duration, _ in packets if pts is not None), default=0)
        _refuse_truncated(container, stream, label, len(packets), last * base)
        countable = len(times) == len(packets) and stream.codec_context.name not in _PACKETS_ARE_NOT_FRAMES
    if not packets:
        raise VideoError(f"Video {label} has no frames.", "Copy or download it again.")
    pts = np.asarray(sorted(time for time, _ in times), np.int64)
    keys = np.asarray(sorted(time for time, key in times if key), np.int64)
    timed = bool(countable and len(keys) and keys[0] == pts[0] and (np.diff(pts) > 0).all())
    if admit is not None:
        # Where packets are not frames, two may be one: its fields, or one that is never shown.
        admit(size, len(packets) if timed else len(packets) // 2)
    if not timed:
        pts, timed = _scan(path)
        # The first frame is reached from the start of the file, key frame or not.
        keys = np.union1d(pts[:1], keys[np.isin(keys, pts)] if timed else pts[:1])
    # Where a seek leaves pictures flawed in part, or with another's time, only the start is safe.
    from_start = astray or (len(keys) > 1 and _refreshes(path, keys[1:]))
    if from_start:
        keys = keys[:1]
    with _opened(path) as (container, stream):
        stream.codec_context.thread_count = 1
        first = next(container.decode(stream), None)
        if first is None:
            raise DecodeError("no frame can be decoded")
        pixels = _upright(first)
    return Index(
        pts=pts,
        keys=keys,
        timestamps=(pts - pts[0]) * (base if timed else 1 / rate),
        size=(int(pixels.shape[0]), int(pixels.shape[1])),
        rotated=any(_display(first)),
        pixel_aspect=1 / aspect if _display(first)[0] else aspect,
        timed=timed,
        seekable=seekable,
        exact=timed and not leading and not from_start,
    )


class AvDecoder:
    """Decodes from the nearest key frame; a run of frames is decoded ahead by FFmpeg's threads."""

    name = "PyAV"

    def __init__(self, path: str, index: Index) -> None:
        self._path = path
        self._index = index

    def decode(self, indices: Sequence[int] | range) -> Iterator[Frame]:
        """See `grounding_core.video.containers.Decoder`."""
        if not len(indices):
            return
        for group in self._groups(indices):
            # Frame threads read ahead, which only pays where the frames ahead are wanted.
            frames = self._from_key(group[0], threads="AUTO" if isinstance(indices, range) else "SLICE")
            for index in group:
                for position, frame in frames:
                    if position == index:
                        yield _upright(frame)
                        break
                    if position > index:
                        raise DecodeError(f"frame {index} is missing")
                else:
                    raise DecodeError(f"the frames end before {index}")

    def _groups(self, indices: Sequence[int] | range) -> list[Sequence[int]]:
        """Runs of indices that are best decoded in one go, without a seek in between."""
        if isinstance(indices, range) or not self._index.timed:
            return [indices]
        wanted = np.asarray(indices)
        starts = np.searchsorted(self._index.pts, self._index.keys)
        key = starts[np.searchsorted(starts, wanted, side="right") - 1]
        cuts = np.flatnonzero(key[1:] - wanted[:-1] > _CHEAPER_THAN_A_SEEK) + 1
        return [part.tolist() for part in np.split(wanted, cuts)]

    def _from_key(self, start: int, *, threads: str) -> Iterator[tuple[int, Any]]:
        """(index, frame) from ``start`` or a little before."""
        pts, keys = self._index.pts, self._index.keys
        # A container may seek to a key frame after the one asked for, so go back until none is missed.
        for key in keys[keys <= pts[start]][::-1] if self._index.timed else keys[:1]:
            with _opened(self._path) as (container, stream):
                stream.thread_type = threads
                if key > keys[0]:
                    container.seek(int(key), stream=stream, backward=True)
                frames = container.decode(stream)
                if not self._index.timed:
                    yield from enumerate(frames)
                    return
                first = next(frames, None)
                if first is None or first.pts is None or first.pts > pts[start]:
                    continue
                yield int(np.searchsorted(pts, first.pts)), first
                for frame in frames:
                    if frame.pts is not None:
                        yield int(np.searchsorted(pts, frame.pts)), frame
                return
        raise DecodeError(f"no key frame leads to frame {start}")


def _has_leading(packets: Sequence[tuple[int | None, int, bool]]) -> bool:
    """Whether a packet, in their stored order, is shown before the key frame that it follows."""
    key: int | None = None
    for pts, _, is_key in packets:
        if pts is None:
            continue
        if is_key:
            key = pts
        elif key is not None and pts < key:
            return True
    return False


def _refreshes(path: str, keys: npt.NDArray[np.int64]) -> bool:
    """Whether from the first or the last of ``keys`` on nothing can be shown until some later frame."""
    try:
        with _opened(path) as (container, stream):
            stream.codec_context.thread_count = 1
            for key in {*keys[:1].tolist(), *keys[-1:].tolist()}:
                container.seek(key, stream=stream, backward=True)
                start = shown = None
                for packet in container.demux(stream):
                    if start is None and packet.is_keyframe:
                        start = packet.pts
                    if frames := packet.decode():
                        shown = frames[0].pts
                        break
                if start is not None and (shown is None or shown > start):
                    return True
    except DecodeError:
        # A damaged frame is its own matter, told when it is asked for.
        return False
    return False


@contextmanager
def _opened(path: str) -> Iterator[tuple[Any, Any]]:
    """(container, its video stream or None); any error of FFmpeg inside becomes a DecodeError."""
    try:
        import av
    except ImportError as error:
        raise DecodeError(f"not installed ({error})") from error
    try:
        try:
            # Tags in an old character set must not keep anyone from watching.
            opened = av.open(path, metadata_errors="replace", options={"format_whitelist": _FORMATS})
        except av.ArgumentError as error:
            # All that FFmpeg says of a format that is not on the list.
            raise DecodeError("it is a playlist, or of a format that is not read") from error
        with opened as container:
            # Cover art makes a sound file no video.
            cover = av.stream.Disposition.attached_pic
            streams = [stream for stream in container.streams.video if not stream.disposition & cover]
            yield container, streams[0] if streams else None
    except av.FFmpegError as error:
        raise DecodeError(" ".join((error.strerror or str(error)).split())) from error


def _refuse_truncated(container: Any, stream: Any, label: str, found: int, end: float) -> None:
    """Raise if the file holds less than its container announces: ``found`` packets up to second ``end``."""
    remedy = "Copy or download it again; `ffmpeg -i IN -c copy OUT` keeps the part that is there."
    size = os.path.getsize(container.name)
    missing = sum(entry.pos + entry.size > size for entry in stream.index_entries)
    if missing:
        raise VideoError(f"Video {label} is cut short: {missing} of its frames lie beyond its end.", remedy)
    # Matroska announces a duration, either for the track or for the file.
    announced = _seconds(stream.metadata.get("DURATION", ""))
    if announced is None and len(container.streams) == 1 and "matroska" in container.format.name:
        announced = container.duration / 1e6 if container.duration else None
    if announced is not None and found and announced - end > max(0.2, 3 * end / found):
        raise VideoError(
            f"Video {label} is cut short: it announces {announced:.1f} s and holds {end:.1f} s.", remedy
        )


def _seconds(clock: str) -> float | None:
    """Seconds of ``HH:MM:SS.sss``; None if it is no clock time."""
    parts = clock.split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds


def _scan(path: str) -> tuple[npt.NDArray[np.int64], bool]:
    """Times of all frames by decoding them, and whether they carry usable ones; else their numbers."""
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        times = [frame.pts for frame in container.decode(stream)]
    if not times:
        raise DecodeError("no frame can be decoded")
    known = [time for time in times if time is not None]
    if len(known) == len(times) and all(a < b for a, b in itertools.pairwise(known)):
        return np.asarray(known, np.int64), True
    return np.arange(len(times), dtype=np.int64), False


def _display(frame: Any) -> tuple[bool, bool, bool]:
    """What the display matrix asks for, in this order: swap axes, mirror left-right, mirror top-bottom."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    # A stored point (x, y) is shown at (a x + c y, b x + d y), but for a shift.
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    swapped = abs(b) + abs(c) > abs(a) + abs(d)
    return (True, c < 0, b < 0) if swapped else (False, a < 0, d < 0)


def _upright(frame: Any) -> Frame:
    pixels: Frame = frame.to_ndarray(format="rgb24")
    swapped, left_right, top_bottom = _display(frame)
    if swapped:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels[:: -1 if top_bottom else 1, :: -1 if left_right else 1])
