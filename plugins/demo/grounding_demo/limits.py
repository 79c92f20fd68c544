"""How much a visitor may ask of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grounding_core.errors import VideoError
from grounding_core.video import Video

FASTEST = 60
"""Frames a second up to which a clip within the time limit is taken."""


@dataclass(frozen=True)
class Limits:
    """Bounds on one upload.

    Attributes:
        megabytes: size of the file, in units of 10^6 bytes.
        seconds: length of the clip.
        letters: length of a question.
    """

    megabytes: int = 100
    seconds: int = 60
    letters: int = 500

    @property
    def bytes(self) -> int:
        """The size limit in bytes."""
        return self.megabytes * 10**6

    def open(self, path: Path) -> Video:
        """Open a clip that keeps within the limits.

        Raises:
            VideoError: it is too large, too long, or no video.
        """
        remedy = "Cut the clip shorter, or scale it down."
        if path.is_file() and path.stat().st_size > self.bytes:
            raise VideoError(f"The file is larger than {self.megabytes} MB.", remedy)
        try:
            video = Video.open(path)
        except VideoError as error:
            # The path is this machine's own business.
            told = (error.problem, error.remedy)
            said = [" ".join(text.replace(f"{path} ", "").replace(str(path), "").split()) for text in told]
            raise VideoError(*said) from error
        length = float(video.timestamps[-1] - video.timestamps[0])
        if length > self.seconds or len(video) > FASTEST * self.seconds:
            raise VideoError(
                f"The clip has {len(video)} frames in {length:.0f} s, more than {self.seconds} s.", remedy
            )
        return video
