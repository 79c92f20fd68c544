"""How much a visitor may ask of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grounding_core.errors import VideoError
from grounding_core.video import Video
from grounding_core.video.readers import IMAGE_SUFFIXES

FASTEST = 60
"""Frames a second up to which a clip within the time limit is taken."""

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".gif", ".apng", ".avif",
    ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".m2v", ".vob", ".flv", ".f4v", ".ogv", ".ogg", ".wmv",
    ".asf", ".mxf", ".dv", ".y4m", ".ivf", ".h264", ".264", ".hevc", ".h265", ".265", ".rm", ".rmvb",
})
# fmt: on

REMEDY = "Cut the clip shorter, or scale it down."


@dataclass(frozen=True)
class Limits:
    """Bounds on one upload.

    Attributes:
        megabytes: size of the file, in units of 10^6 bytes.
        seconds: length of the clip.
        letters: length of a question.
        frame_pixels: pixels of a frame. Memory grows with them: about 130 bytes each.
        clip_pixels: pixels of all frames together. Time grows with them.
    """

    megabytes: int = 100
    seconds: int = 60
    letters: int = 500
    frame_pixels: int = 4096 * 4096
    clip_pixels: int = 4 * 10**9  # a minute of 1920x1080 at 30 frames a second has 3.7

    @property
    def bytes(self) -> int:
        """The size limit in bytes."""
        return self.megabytes * 10**6

    def open(self, path: Path) -> Video:
        """Open a clip that keeps within the limits.

        Raises:
            VideoError: it is too large, too long, or no video.
        """
        if path.is_file() and path.suffix and path.suffix.lower() not in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
            raise VideoError(
                f"Files that end in {path.suffix} are not taken.", "Send a video, e.g. mp4, or one image."
            )
        if path.is_file() and path.stat().st_size > self.bytes:
            raise VideoError(f"The file is larger than {self.megabytes} MB.", REMEDY)
        try:
            video = Video.open(path, admit=self.admit)
        except VideoError as error:
            # The path is this machine's own business.
            told = (error.problem, error.remedy)
            said = [" ".join(text.replace(f"{path} ", "").replace(str(path), "").split()) for text in told]
            raise VideoError(*said) from error
        length = float(video.timestamps[-1] - video.timestamps[0])
        if length > self.seconds:
            raise VideoError(
                f"The clip has {len(video)} frames in {length:.0f} s, more than {self.seconds} s.", REMEDY
            )
        return video

    def admit(self, size: tuple[int, int], frames: int) -> None:
        """Refuse more pixels or frames than are taken.

        Raises:
            VideoError: there are more.
        """
        height, width = size
        if height * width > self.frame_pixels:
            raise VideoError(
                f"The clip is {width}x{height}, more than {self.frame_pixels} pixels a frame.",
                "Scale it down.",
            )
        if frames > FASTEST * self.seconds:
            raise VideoError(f"The clip has {frames} frames, more than {FASTEST * self.seconds}.", REMEDY)
        if height * width * frames > self.clip_pixels:
            raise VideoError(
                f"The clip has {frames} frames of {width}x{height}, "
                f"more than {self.clip_pixels} pixels in all.",
                REMEDY,
            )
