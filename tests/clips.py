"""Real video files for tests, made with PyAV."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

STEP = 8
"""Frame i of a made clip is grey of level i * STEP, with a red upper left quarter."""


def picture(index: int, size: tuple[int, int] = (48, 64)) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Frame ``index`` of a made clip, uint8 (H, W, 3)."""
    height, width = size
    frame = np.full((height, width, 3), index * STEP % 256, np.uint8)
    frame[: height // 2, : width // 2] = (255, 0, 0)
    return frame


def levels(frames: np.ndarray[Any, Any]) -> list[int]:
    """Which made frames these are, read from their lower right corner."""
    return [round(float(frame[-2:, -2:].mean()) / STEP) for frame in frames]


def make_clip(
    path: Path,
    *,
    count: int = 30,
    size: tuple[int, int] = (48, 64),
    codec: str = "libx264",
    times_ms: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    noise: bool = False,
) -> Path:
    """Write a clip at 25 frames a second, or with the given times in milliseconds.

    ``noise`` fills the upper right quarter, for packets as large as those of filmed pictures.
    """
    chance = np.random.default_rng(0)
    with av.open(str(path), "w", options=container_options or {}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        # MPEG-2 takes no finer clock than its frame rate.
        stream.codec_context.time_base = Fraction(1, 25 if codec == "mpeg2video" else 1000)
        for index in range(count):
            pixels = picture(index, size)
            if noise:
                corner = pixels[: size[0] // 2, size[1] // 2 :]
                corner[:] = chance.integers(0, 256, corner.shape)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = index * 40 if times_ms is None else times_ms[index]
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if hasattr(os, "sched_setscheduler"):
        # Run by root, SVT-AV1 leaves this thread at real-time priority, before all else on the machine.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path


def make_sound(path: Path) -> Path:
    """Write half a second of silence without pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for index in range(20):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((2, 1024), np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts = 44100, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn(path: Path, matrix: Sequence[int] = (0, 1, -1, 0)) -> Path:
    """Make an mp4 ask to be shown turned, by default a quarter clockwise, by its track header's matrix."""
    data = path.read_bytes()
    upright, turned = (
        struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
        for a, b, c, d in ((1, 0, 0, 1), matrix)
    )
    start = data.index(upright, data.index(b"tkhd"))
    path.write_bytes(data[:start] + turned + data[start + len(turned) :])
    return path


def cut(path: Path, share: float) -> Path:
    """Drop the end of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path
