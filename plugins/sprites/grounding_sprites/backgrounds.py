"""Procedural backgrounds in muted colours, so that the saturated sprites stand out."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

Field = npt.NDArray[np.float64]
"""A picture (H, W) of values in [0, 1] that mixes two colours."""


def _grid(size: int) -> tuple[Field, Field]:
    y, x = np.mgrid[0:size, 0:size].astype(np.float64)
    return y, x


def _smooth(rng: np.random.Generator, size: int, cells: int) -> Field:
    coarse = Image.fromarray(rng.random((cells, cells)).astype(np.float32))
    return np.clip(np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float64), 0, 1)


def _along(rng: np.random.Generator, size: int) -> Field:
    """Distance in pixels along a random direction."""
    y, x = _grid(size)
    angle = rng.uniform(0, np.pi)
    return np.asarray(x * np.cos(angle) + y * np.sin(angle))


def _noise(rng: np.random.Generator, size: int) -> Field:
    octaves = [_smooth(rng, size, cells) * weight for cells, weight in ((4, 0.5), (9, 0.3), (24, 0.2))]
    return np.asarray(sum(octaves))


def _gradient(rng: np.random.Generator, size: int) -> Field:
    along = _along(rng, size)
    return np.asarray((along - along.min()) / np.ptp(along))


def _stripes(rng: np.random.Generator, size: int) -> Field:
    return (_along(rng, size) // rng.uniform(5, 14) % 2).astype(np.float64)


def _checks(rng: np.random.Generator, size: int) -> Field:
    y, x = _grid(size)
    side = rng.uniform(7, 18)
    return ((y // side + x // side) % 2).astype(np.float64)


def _speckle(rng: np.random.Generator, size: int) -> Field:
    return np.asarray(0.5 * _smooth(rng, size, 3) + 0.5 * rng.random((size, size)))


def _blotches(rng: np.random.Generator, size: int) -> Field:
    return np.asarray(_smooth(rng, size, int(rng.integers(6, 13))) > 0.5, dtype=np.float64)


def _rings(rng: np.random.Generator, size: int) -> Field:
    y, x = _grid(size)
    cy, cx = rng.uniform(0, size, 2)
    return np.asarray(np.hypot(y - cy, x - cx) // rng.uniform(6, 12) % 2, dtype=np.float64)


def _bricks(rng: np.random.Generator, size: int) -> Field:
    y, x = _grid(size)
    height, width = rng.uniform(8, 13), rng.uniform(18, 28)
    row = y // height
    joint = (y % height < 1.5) | ((x + (row % 2) * width / 2) % width < 1.5)
    return np.asarray(
        np.where(joint, 1.0, 0.25 * ((row * 7 + (x + (row % 2) * width / 2) // width * 3) % 3) / 2)
    )


def _waves(rng: np.random.Generator, size: int) -> Field:
    y, x = _grid(size)
    bend = rng.uniform(4, 9) * np.sin(x / rng.uniform(7, 14))
    return np.asarray(0.5 + 0.5 * np.sin((y + bend) / rng.uniform(2.5, 5)))


SEEN: dict[str, Callable[[np.random.Generator, int], Field]] = {
    "noise": _noise,
    "gradient": _gradient,
    "stripes": _stripes,
    "checks": _checks,
    "speckle": _speckle,
    "blotches": _blotches,
}
"""Families of every split."""

UNSEEN: dict[str, Callable[[np.random.Generator, int], Field]] = {
    "rings": _rings,
    "bricks": _bricks,
    "waves": _waves,
}
"""Families of the test split only."""


def paint(family: str, rng: np.random.Generator, size: int) -> npt.NDArray[np.uint8]:
    """A background (size, size, 3) of a family, in two near colours of low saturation."""
    field = (SEEN | UNSEEN)[family](rng, size)
    hue, value = rng.random(), rng.uniform(0.32, 0.68)
    step = rng.uniform(0.08, 0.18) * (1 if value < 0.5 else -1)
    ends = [
        colorsys.hsv_to_rgb(hue, rng.uniform(0.02, 0.15), value),
        colorsys.hsv_to_rgb((hue + rng.uniform(-0.15, 0.15)) % 1, rng.uniform(0.02, 0.15), value + step),
    ]
    first, second = (np.array(end) * 255 for end in ends)
    mixed = first + (second - first) * field[..., None]
    grained = np.clip(mixed + rng.normal(0, 1.5, mixed.shape), 0, 255)
    return np.asarray(np.rint(grained), dtype=np.uint8)
