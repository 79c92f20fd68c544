"""Colours, masks and phrases as pixels (numpy and Pillow)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from grounding_core.masks import BoolMask, MaskTrack
from grounding_core.types import GroundedText
from grounding_core.video.readers import Frame

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

PALETTE: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (213, 94, 0),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
)
"""Okabe and Ito (2008), "Color Universal Design": told apart with every kind of colour vision.
Their black is left out: it can't be seen on dark video."""

INK: Color = (33, 37, 41)
FAINT: Color = (120, 126, 132)
PAPER: Color = (255, 255, 255)


def track_color(id: int) -> Color:
    """The RGB colour of a track, the same everywhere; repeats after seven, so show its number too."""
    return PALETTE[id % len(PALETTE)]


def ink_on(color: Color) -> Color:
    """Black or white, whichever reads better on a colour."""
    red, green, blue = color
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 100 else PAPER


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font at a size in pixels: DejaVu Sans where the system has it, else Pillow's own, of few letters."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def draw_tracks(frame: Frame, tracks: Iterable[MaskTrack], index: int, size: tuple[int, int]) -> Image.Image:
    """A frame with its tracks: a tint, an outline, and the track's number.

    Args:
        frame: uint8 (H, W, 3).
        tracks: of the video's own size.
        index: which frame of the tracks it is.
        size: (height, width) to draw at; masks are resized with the frame.
    """
    from PIL import Image, ImageDraw

    height, width = size
    shown = Image.fromarray(frame)
    if frame.shape[:2] != size:
        shown = shown.resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.array(shown)
    line = max(1, round(max(size) / 200))
    boxes: list[tuple[int, tuple[int, int, int, int]]] = []
    for track in tracks:
        if track.frames[index] is None:
            continue
        mask = resized(track.mask(index), size)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        boxes.append((track.id, box))
        # Only the box and a pixel around it are touched: most objects are small against the frame.
        window = slice(max(0, box[1] - 1), box[3] + 1), slice(max(0, box[0] - 1), box[2] + 1)
        inside, part = mask[window], pixels[window]
        color = np.asarray(track_color(track.id), np.float32)
        part[inside] = (0.6 * part[inside] + 0.4 * color).astype(np.uint8)
        part[inside & ~_eroded(inside, line)] = color.astype(np.uint8)
        # A dark rim, so that the outline also shows on its own colour.
        part[~inside & ~_eroded(~inside, 1)] //= 3
    drawn = Image.fromarray(pixels)
    if min(size) >= 48:
        pen = ImageDraw.Draw(drawn)
        for id, box in boxes:
            _number(pen, id, box, drawn.size)
    return drawn


def resized(mask: BoolMask, size: tuple[int, int]) -> BoolMask:
    """A mask at another size; an object that is there never vanishes."""
    from PIL import Image

    if mask.shape == size:
        return mask
    soft = Image.fromarray(mask.astype(np.uint8) * 255).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    levels = np.asarray(soft)
    # An object of a few pixels must not vanish from a reduced picture: where even its brightest level rounds
    # to 0, its middle pixel is what is left of it.
    if not levels.any() and mask.any():
        rows, columns = np.nonzero(mask)
        middle = len(rows) // 2
        shown = np.zeros(size, dtype=bool)
        shown[rows[middle] * size[0] // mask.shape[0], columns[middle] * size[1] // mask.shape[1]] = True
        return shown
    return levels >= min(128, max(1, int(levels.max())))


def _eroded(mask: BoolMask, steps: int) -> BoolMask:
    inner = np.pad(mask, 1, mode="edge")
    for _ in range(steps):
        core = inner.copy()
        core[1:-1, 1:-1] &= inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
        inner = core
    return np.asarray(inner[1:-1, 1:-1])


def _number(
    pen: ImageDraw.ImageDraw, id: int, box: tuple[int, int, int, int], frame: tuple[int, int]
) -> None:
    """The track's number on a small plate above its box, or inside where there is no room."""
    width, height = frame
    letters = font(max(10, round(min(frame) / 18)))
    left, top, right, bottom = pen.textbbox((0, 0), str(id), font=letters)
    plate_w, plate_h = right - left + 8, bottom - top + 6
    x = min(max(0, box[0]), max(0, int(width - plate_w)))
    y = box[1] - plate_h if box[1] >= plate_h else min(box[1], max(0, int(height - plate_h)))
    color = track_color(id)
    pen.rectangle((x, y, x + plate_w - 1, y + plate_h - 1), fill=color)
    pen.text((x + 4 - left, y + 3 - top), str(id), font=letters, fill=ink_on(color))


class Words:
    """An answer's text broken into lines, phrases on their track's colour, each with its tracks' numbers.

    Args:
        answer: what to write.
        width: of a line, in pixels.
        size: of the letters, in pixels.
        max_lines: what goes beyond ends in an ellipsis.
    """

    def __init__(self, answer: GroundedText, *, width: int, size: int = 20, max_lines: int = 12) -> None:
        self._font = font(size)
        self._small = font(max(10, round(size * 0.65)))
        self._size = size
        self._lines: list[list[tuple[str, tuple[int, ...], bool]]] = [[]]
        used = 0.0
        for word, tracks, plate in _pieces(answer):
            need = self._measure(word, plate)
            if (used and used + need > width) or word == "\n":
                if len(self._lines) == max_lines:
                    self._lines[-1].append((" …", (), False))
                    break
                self._lines.append([])
                used = 0.0
                word = word.strip()
                need = self._measure(word, plate)
            if word:
                self._lines[-1].append((word, tracks, plate))
                used += need

    @property
    def height(self) -> int:
        """In pixels; 0 without words."""
        return len(self._lines) * self._step if self._lines[0] else 0

    @property
    def _step(self) -> int:
        return round(self._size * 1.7)

    def _measure(self, word: str, plate: bool) -> float:
        return float((self._small if plate else self._font).getlength(word)) + (8 if plate else 0)

    def draw(self, pen: ImageDraw.ImageDraw, x: int, y: int) -> None:
        """Write with the upper left corner at (x, y)."""
        for row, line in enumerate(self._lines):
            place, top = float(x), y + row * self._step
            for word, tracks, plate in line:
                width = self._measure(word, plate)
                middle = top + self._step / 2
                if plate:
                    color = track_color(tracks[0])
                    half = self._size * 0.45
                    pen.rectangle((place + 2, middle - half, place + width - 2, middle + half), fill=color)
                    pen.text(
                        (place + width / 2, middle), word, font=self._small, fill=ink_on(color), anchor="mm"
                    )
                else:
                    if tracks:
                        tint = _tint(track_color(tracks[0]))
                        half = self._size * 0.72
                        pen.rectangle((place, middle - half, place + width, middle + half), fill=tint)
                    pen.text((place, middle), word, font=self._font, fill=INK, anchor="lm")
                place += width


def _tint(color: Color) -> Color:
    red, green, blue = (round(0.45 * part + 0.55 * 255) for part in color)
    return red, green, blue


def _pieces(answer: GroundedText) -> Iterable[tuple[str, tuple[int, ...], bool]]:
    """(word with the blank before it, tracks, whether it is a number plate), in reading order."""
    done = 0
    for span in sorted(answer.spans, key=lambda span: (span.start, span.end)):
        start = max(done, span.start)
        yield from _words(answer.text[done:start], ())
        yield from _words(answer.text[start : max(start, span.end)], span.tracks)
        yield from ((str(id), (id,), True) for id in span.tracks)
        done = max(done, span.end)
    yield from _words(answer.text[done:], ())


def _words(text: str, tracks: tuple[int, ...]) -> Iterable[tuple[str, tuple[int, ...], bool]]:
    for number, line in enumerate(text.split("\n")):
        if number:
            yield "\n", (), False
        blank = ""
        for word in line.split(" "):
            if word:
                yield blank + word, tracks, False
                blank = " "
            else:
                blank = " "
        if line.endswith(" "):
            yield " ", tracks, False


def grid(count: int) -> tuple[int, int]:
    """(rows, columns) of a sheet of ``count`` pictures: at most four in a row, rows as even as can be."""
    rows = -(-count // 4)
    return rows, -(-count // rows)


def fit(size: tuple[int, int], longest: int, *, whole: bool = False) -> tuple[int, int]:
    """A frame's size (H, W) scaled so that its longer side is ``longest`` pixels.

    Args:
        size: of the frame.
        longest: wanted, in pixels.
        whole: enlarge by a whole factor only, and never reduce.
    """
    scale = longest / max(size)
    if whole:
        scale = max(1, -(-longest // max(size)))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
