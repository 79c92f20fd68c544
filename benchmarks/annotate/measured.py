"""A describer without a model: what an object's pixels and masks show."""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt

from benchmarks.annotate.items import Thing, View
from benchmarks.annotate.steps import Notes, Step
from grounding_core.masks import MaskTrack

HUES = (
    (15, "red"),
    (42, "orange"),
    (68, "yellow"),
    (165, "green"),
    (200, "cyan"),
    (255, "blue"),
    (290, "purple"),
    (335, "pink"),
    (361, "red"),
)
"""Upper end of each hue in degrees, and its name."""
SHARE = 0.4
"""Share of an object's pixels that a colour has if the object is called by it."""
MOVED = 0.12
"""Way of the centre, in shares of the picture's longer side, from which an object moves."""


class Measured(Step):
    """The class with the colour of most pixels, and the way its masks go."""

    def describe(self, thing: Thing, view: View, notes: Notes) -> str:
        """E.g. ``red cat that moves to the left``."""
        track = view.tracks[thing.id]
        areas = track.areas()
        frame = max(areas, key=areas.__getitem__)
        picture = view.video.frames([frame])[0]
        words = [colour(picture[track.mask(frame)]), thing.name or "object", motion(track)]
        notes.add("describe", self)
        return " ".join(word for word in words if word)


def colour(pixels: npt.NDArray[np.uint8]) -> str:
    """The name of the colour that most of the pixels (n, 3) have; empty if none is common enough."""
    counts: dict[str, int] = {}
    # Near colours share a name: a few thousand pixels in 16 levels are few different ones.
    levels, numbers = np.unique(pixels // 16, axis=0, return_counts=True)
    for level, number in zip(levels, numbers, strict=True):
        name = _name(*((level * 16 + 8) / 255.0))
        counts[name] = counts.get(name, 0) + int(number)
    best = max(counts, key=counts.__getitem__, default="")
    return best if counts and counts[best] >= SHARE * len(pixels) else ""


def _name(red: float, green: float, blue: float) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if value < 0.2:
        return "black"
    if saturation < 0.18:
        return "white" if value > 0.85 else "grey"
    name = next(name for end, name in HUES if 360 * hue < end)
    return "brown" if name in ("orange", "red") and value < 0.62 and saturation < 0.85 else name


def motion(track: MaskTrack) -> str:
    """Where an object goes; empty where that is not clear."""
    boxes = track.boxes()
    if len(boxes) < 3:
        return ""
    centres = np.array([((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in boxes.values()]) / max(
        track.size
    )
    right, down = centres[-1] - centres[0]
    if float(np.ptp(centres, axis=0).max()) < MOVED / 3:
        return "that stays still"
    if max(abs(right), abs(down)) < MOVED:
        return ""
    if abs(right) >= abs(down):
        return f"that moves to the {'right' if right > 0 else 'left'}"
    return f"that moves {'down' if down > 0 else 'up'}"
