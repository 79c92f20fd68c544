"""What every source of frames offers, and the choice of a reader for a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from grounding_core.errors import VideoError

Frame = npt.NDArray[np.uint8]

Admit = Callable[[tuple[int, int], int], None]
"""Is told (H, W) and the number of frames of a source, and raises if it is not to be read."""

MAX_PIXELS = 1 << 26
"""Most pixels a frame may have: twice an 8K frame. More is a damaged header, not a video."""

DEFAULT_FPS = 25.0
"""Frame rate of sources that carry no clock: frame folders, images, arrays."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


class Reader(Protocol):
    """Frames of one source. Keeps no file open between calls, so that it can be copied to other processes.

    Attributes:
        size: (H, W) of every frame, rotation applied.
        timestamps: float64 (t,), seconds from the first frame, increasing.
        files: what is read; none where the frames are in memory.
    """

    size: tuple[int, int]
    timestamps: npt.NDArray[np.float64]
    files: Sequence[Path]

    def frames(self, indices: Sequence[int]) -> Frame:
        """uint8 (t, H, W, 3) of increasing indices, all within range."""

    def stream(self, start: int, stop: int) -> Iterator[Frame]:
        """uint8 (H, W, 3) of frames start to stop, one at a time."""


def check_size(size: tuple[int, int], label: str) -> None:
    """Refuse frames without pixels, or with more than any real video has.

    Raises:
        VideoError: the size is out of bounds.
    """
    height, width = size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise VideoError(
            f"{label} has frames of {width}x{height} pixels, outside 1 to {MAX_PIXELS} in all.",
            "Check the file, or scale it down first.",
        )


def even_timestamps(count: int, fps: float | None) -> npt.NDArray[np.float64]:
    """Timestamps (t,) of ``count`` frames at a steady rate."""
    return np.arange(count, dtype=np.float64) / (DEFAULT_FPS if fps is None else fps)


def open_path(path: Path, fps: float | None, admit: Admit | None = None) -> Reader:
    """The reader of a file or a folder of images.

    ``admit`` is told what a container's header says; the reader tells the rest.

    Raises:
        VideoError: it is missing, empty, or no reader can read it.
    """
    from grounding_core.video.containers import open_container
    from grounding_core.video.images import ImageReader, images_in, moves

    try:
        if path.is_dir():
            return ImageReader(images_in(path), fps, str(path))
        if path.exists() and not path.is_file():
            raise VideoError(f"{path} is neither a file nor a folder.", "Save the video to a file first.")
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError as error:
        raise VideoError(
            f"Video {path} does not exist.", "Check the path; download what is online."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(
            f"Video {path} can't be read: {reason}.", "Check the path and its permissions."
        ) from error
    if empty:
        raise VideoError(f"Video {path} is empty (0 bytes).", "Copy or download it again.")
    if path.suffix.lower() in IMAGE_SUFFIXES and not moves(path):
        return ImageReader([path], fps, str(path))
    return open_container(path, admit)
