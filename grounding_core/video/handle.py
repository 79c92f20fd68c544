"""A lazy handle on the frames of a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Union

import numpy as np
import numpy.typing as npt

from grounding_core.errors import VideoError
from grounding_core.video.readers import DEFAULT_FPS, Admit, Frame, Reader, open_path

Source = Union[str, Path, Sequence["str | Path"], npt.NDArray[np.uint8], "Video"]


class Video:
    """Frames with timestamps from a file, a folder, images or an array; decodes only what is asked for.

    A handle keeps no file open and no decoder running: it can be pickled, forked and used from
    several threads, and many can exist at once. Make one with `open`.

    Attributes:
        name: short label, e.g. the file's stem.
        source: where the frames come from, for messages and records.
    """

    def __init__(self, reader: Reader, *, name: str, source: str, start: int, stop: int) -> None:
        self._reader = reader
        self._start = start
        self._stop = stop
        self.name = name
        self.source = source

    @classmethod
    def open(cls, source: Source, *, fps: float | None = None, admit: Admit | None = None) -> Video:
        """Open a video.

        Args:
            source: path of a video in any container, animated GIF and PNG included, of a folder of
                JPEG/PNG frames or of one image; a sequence of image paths; a uint8 RGB array
                (t, H, W, 3) or (H, W, 3); or a Video, which is returned as it is.
            fps: frame rate of sources without a clock (images, arrays); default 25. Containers
                keep their own timestamps.
            admit: is told (H, W) and the number of frames, and raises if that is too much: for files
                that others sent. A container's header is told before a frame is decoded, with the
                fewest frames that its packets can be; then the facts, if they differ.

        Raises:
            VideoError: the source is missing, empty, damaged, or not a video. A file that stops
                before the last frame its container announces is damaged: it is never read as a
                shorter video.
        """
        if isinstance(source, Video):
            return source
        if fps is not None and not 0 < fps < float("inf"):
            raise VideoError(f"A frame rate of {fps} is impossible.", "Use frames a second, above 0.")
        if isinstance(source, (str, Path)):
            if not str(source).strip():
                raise VideoError("The path of the video is empty.", "Name a file or a folder.")
            path = Path(source)
            reader = open_path(path, fps, admit)
            name = path.stem if path.is_file() else path.resolve().name
            return cls._whole(reader, name, str(path), admit)
        from grounding_core.video.images import ArrayReader, ImageReader

        if isinstance(source, np.ndarray):
            return cls._whole(ArrayReader(source, fps), "array", f"array {source.shape}", admit)
        paths = [Path(item) for item in source]
        label = f"{len(paths)} images" + (f" in {paths[0].parent}" if paths else "")
        name = paths[0].parent.name if paths else ""
        return cls._whole(ImageReader(paths, fps, label), name, label, admit)

    @classmethod
    def _whole(cls, reader: Reader, name: str, source: str, admit: Admit | None = None) -> Video:
        if admit is not None:
            admit(reader.size, len(reader.timestamps))
        return cls(reader, name=name or "video", source=source, start=0, stop=len(reader.timestamps))

    def __len__(self) -> int:
        return self._stop - self._start

    def __repr__(self) -> str:
        height, width = self.size
        return f"Video({self.source!r}, frames={len(self)}, size={width}x{height}, fps={self.fps:.4g})"

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels, rotation applied."""
        return self._reader.size

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel over its height, where a video file says that they differ; otherwise 1."""
        return Fraction(getattr(self._reader, "pixel_aspect", 1))

    @property
    def files(self) -> Sequence[Path]:
        """The files that its frames are read from, those of a clip's whole source; none for arrays."""
        return self._reader.files

    @property
    def live(self) -> bool:
        """Whether frames are still to come: each is worked on when it is there, and none is read again."""
        return bool(getattr(self._reader, "live", False))

    @property
    def timestamps(self) -> npt.NDArray[np.float64]:
        """float64 (t,): seconds from the first frame of the source; a clip keeps its source's times."""
        return np.array(self._reader.timestamps[self._start : self._stop])

    @property
    def fps(self) -> float:
        """Mean frame rate; 25 where the last frame is not later than the first, as in a single one."""
        times = self.timestamps
        span = float(times[-1] - times[0])
        return (len(times) - 1) / span if span > 0 else DEFAULT_FPS

    def frames(self, indices: Sequence[int] | npt.NDArray[np.integer] | range) -> Frame:
        """Decode frames, in any order and with repeats.

        Args:
            indices: 0 <= index < len(video).

        Returns:
            uint8 RGB (t, H, W, 3), one a given index.

        Raises:
            VideoError: an index is out of range, or a frame can't be decoded.
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if wanted.size == 0:
            return np.empty((0, *self.size, 3), np.uint8)
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if outside.size:
            raise VideoError(
                f"Frame {outside[0]} is outside {self.source}, which has {len(self)} frames.",
                f"Use 0 to {len(self) - 1}.",
            )
        unique, places = np.unique(wanted, return_inverse=True)
        decoded = self._reader.frames([int(index) + self._start for index in unique])
        # The usual case, increasing indices without repeats, needs no second copy.
        return decoded if np.array_equal(unique, wanted) else decoded[places.reshape(-1)]

    def stream(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Frame]]:
        """Decode frames [start, stop) one after another, in memory that does not grow.

        Yields:
            (index, uint8 RGB (H, W, 3)).

        Raises:
            VideoError: the range leaves the video, or a frame can't be decoded.
        """
        first, last = self._range(start, len(self) if stop is None else stop)
        for offset, frame in enumerate(self._reader.stream(self._start + first, self._start + last)):
            yield first + offset, frame

    def clip(self, start: int, stop: int) -> Video:
        """The frames [start, stop) as a video of their own; decodes nothing.

        Raises:
            VideoError: the range is empty or leaves the video.
        """
        first, last = self._range(start, stop)
        if first == last:
            raise VideoError(f"A clip [{start}:{stop}] of {self.source} has no frames.", "Use start < stop.")
        return Video(
            self._reader,
            name=f"{self.name}[{first}:{last}]",
            source=self.source,
            start=self._start + first,
            stop=self._start + last,
        )

    def pick(self, indices: Sequence[int]) -> Video:
        """Some frames, in the order given, as a video of their own; decodes nothing.

        Raises:
            VideoError: there is none, or one is outside the video.
        """
        outside = [index for index in indices if not 0 <= index < len(self)]
        if outside or not indices:
            what = f"frame {outside[0]}" if outside else "no frame"
            raise VideoError(
                f"Can't pick {what} of {self.source}, which has {len(self)}.", f"Use 0 to {len(self) - 1}."
            )
        name = f"{self.name}[{len(indices)} of {len(self)}]"
        return Video._whole(_Picked(self, tuple(indices)), name, self.source)

    def _range(self, start: int, stop: int) -> tuple[int, int]:
        if not 0 <= start <= stop <= len(self):
            raise VideoError(
                f"Frames [{start}:{stop}] leave {self.source}, which has {len(self)}.",
                f"Use 0 <= start <= stop <= {len(self)}.",
            )
        return start, stop


class _Picked:
    """A reader of some frames of a video."""

    BATCH = 8

    def __init__(self, video: Video, indices: tuple[int, ...]) -> None:
        self._video = video
        self._indices = indices
        self.size = video.size
        self.pixel_aspect = video.pixel_aspect
        self.files = video.files
        self.timestamps = video.timestamps[list(indices)]

    def frames(self, indices: Sequence[int]) -> Frame:
        return self._video.frames([self._indices[index] for index in indices])

    def stream(self, start: int, stop: int) -> Iterator[Frame]:
        for first in range(start, stop, self.BATCH):
            yield from self.frames(range(first, min(first + self.BATCH, stop)))


def sample_indices(total: int, count: int) -> list[int]:
    """Indices of ``count`` frames spread evenly over ``total``, first and last included.

    A video of fewer frames gives all of them, the last repeated to fill.

    Raises:
        VideoError: ``total`` or ``count`` is below 1.
    """
    if total < 1 or count < 1:
        raise VideoError(f"Can't sample {count} of {total} frames.", "Both must be at least 1.")
    if total < count:
        return [*range(total), *[total - 1] * (count - total)]
    return [int(index) for index in np.linspace(0, total - 1, count)]
