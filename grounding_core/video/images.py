"""Frames from image files and from arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grounding_core.errors import VideoError
from grounding_core.video.readers import IMAGE_SUFFIXES, MAX_PIXELS, Frame, check_size, even_timestamps

if TYPE_CHECKING:
    from PIL import Image


def images_in(folder: Path) -> list[Path]:
    """Image files of a folder, numbers in their names sorted by value (2.jpg before 10.jpg).

    Raises:
        VideoError: there is none, or two share a stem (frames mixed with masks).
    """
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not found:
        problem = "is empty" if not any(folder.iterdir()) else "holds no images"
        raise VideoError(
            f"Folder {folder} {problem}.", "Point at a folder of JPEG or PNG frames, or at a video file."
        )
    found.sort(key=_natural)
    stems: dict[str, Path] = {}
    for path in found:
        other = stems.setdefault(path.stem, path)
        if other is not path:
            raise VideoError(
                f"Folder {folder} holds both {other.name} and {path.name}.",
                "Keep one kind of image in it, or pass the list of frames.",
            )
    return found


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|\D+", path.name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


_KINDS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "PPM", "WEBP", "TIFF")
"""What an image file may hold, whatever its name says; PostScript, a program, is none of it."""


class ImageReader:
    """Image files as frames, EXIF orientation applied. Reads one header at once, pixels on demand."""

    def __init__(self, paths: Sequence[Path], fps: float | None, label: str) -> None:
        if not paths:
            raise VideoError(f"{label} has no frames.", "Pass at least one image.")
        self.files: Sequence[Path] = tuple(paths)
        self.timestamps = even_timestamps(len(self.files), fps)
        self.size = _load(self.files[0], pixels=False)[0]

    def frames(self, indices: Sequence[int]) -> Frame:
        out = np.empty((len(indices), *self.size, 3), np.uint8)
        for row, index in enumerate(indices):
            out[row] = self._frame(index)
        return out

    def stream(self, start: int, stop: int) -> Iterator[Frame]:
        for index in range(start, stop):
            yield self._frame(index)

    def _frame(self, index: int) -> Frame:
        path = self.files[index]
        size, frame = _load(path, pixels=True)
        if size != self.size or frame is None:
            raise VideoError(
                f"Frame {path} is {size[1]}x{size[0]}, but {self.files[0].name} is "
                f"{self.size[1]}x{self.size[0]}.",
                "All frames of a video must have one size.",
            )
        return frame


def moves(path: Path) -> bool:
    """Whether a file is an animated PNG, which decoders of videos read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.format == "PNG" and getattr(image, "is_animated", False)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _load(path: Path, *, pixels: bool) -> tuple[tuple[int, int], Frame | None]:
    """Size (H, W) and, if asked for, pixels of an image, both after its EXIF orientation."""
    from PIL import ExifTags, Image, ImageOps

    try:
        # By its path Pillow would map a grey TIFF into memory, with rows of the wrong length if it is turned.
        with path.open("rb") as file, Image.open(file, formats=_KINDS) as image:
            check_size((image.height, image.width), f"Image {path}")
            _check_kind(path, image)
            if image.format == "TIFF":
                # Pillow turns these itself; before they are loaded, size and orientation may disagree.
                image.load()
            if not pixels:
                turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
                return ((image.width, image.height) if turned else (image.height, image.width)), None
            upright = ImageOps.exif_transpose(image)
            return (upright.height, upright.width), _rgb(upright)
    except FileNotFoundError as error:
        raise VideoError(f"Image {path} does not exist.", "Check the path.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise VideoError(
            f"Image {path} has more than the {MAX_PIXELS} pixels that a frame may have.",
            "Scale it down first.",
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        text = " ".join(str(error).split()).rstrip(".")
        raise VideoError(f"Image {path} can't be read: {text}.", "Replace or remove it.") from error


def _check_kind(path: Path, image: Image.Image) -> None:
    # Phones keep depth and brightness as further pictures of a JPEG, so only the first counts there.
    if image.format in ("PNG", "WEBP", "TIFF") and getattr(image, "is_animated", False):
        raise VideoError(
            f"Image {path} holds several pictures.",
            "Save them as images of their own in a folder, or as an mp4.",
        )
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise VideoError(
            f"Image {path} has pixels of {'floating point' if image.mode == 'F' else '32 bits'}, "
            "whose black and white are unknown.",
            "Scale it to 8 bits first.",
        )


def _rgb(image: Image.Image) -> Frame:
    # 16 bits; older versions of Pillow read such a PNG as "I".
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.uint32) + 128) // 257
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


class ArrayReader:
    """Frames that are in memory already; keeps a view, not a copy."""

    def __init__(self, array: Frame, fps: float | None) -> None:
        frames = array[None] if array.ndim == 3 else array
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise VideoError(
                f"An array of shape {array.shape} and type {array.dtype} is not a video.",
                "Pass uint8 RGB of shape (t, H, W, 3) or (H, W, 3).",
            )
        if len(frames) == 0:
            raise VideoError("The array has no frames.", "Pass at least one frame.")
        self.size = (int(frames.shape[1]), int(frames.shape[2]))
        check_size(self.size, "The array")
        self._frames = frames
        self.files: Sequence[Path] = ()
        self.timestamps = even_timestamps(len(frames), fps)

    def frames(self, indices: Sequence[int]) -> Frame:
        return self._frames[list(indices)]

    def stream(self, start: int, stop: int) -> Iterator[Frame]:
        for index in range(start, stop):
            yield self._frames[index].copy()
