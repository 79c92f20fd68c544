"""A scene: which things there are, and where each is in every frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from grounding_sprites.art import CATEGORIES, COLOURS, held_out, shape
from grounding_sprites.backgrounds import SEEN, UNSEEN

SIZE = 128
"""Width and height of a video in pixels."""
FRAMES = 16
FPS = 8

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SIDES = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
MOTIONS = {"left": 0.13, "right": 0.13, "up": 0.11, "down": 0.11, "grow": 0.08, "shrink": 0.08}
MOTIONS |= {"turn": 0.1, "stay": 0.12, "enter": 0.08, "leave": 0.06}
"""Motion -> how often a thing does it (before an entering or leaving thing is asked for)."""

SMALL, MEDIUM, LARGE = (27.0, 31.0), (34.0, 39.0), (43.0, 48.0)
"""Ranges of a thing's size: the root of its box's area, in pixels."""
_LONGEST = 64.0


@dataclass(frozen=True)
class Pose:
    """Centre (x, y) in pixels, size (root of the box's area) in pixels, angle in degrees clockwise."""

    x: float
    y: float
    size: float
    angle: float = 0.0


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    Attributes:
        id: position in the scene.
        z: drawing order; larger is nearer to the viewer.
        side: where it enters or leaves; empty for every other motion.
        poses: one a frame; None while it is not in the scene.
    """

    id: int
    category: str
    colour: str
    motion: str
    side: str
    flip: bool
    z: int
    poses: tuple[Pose | None, ...]

    @property
    def name(self) -> str:
        """Colour and category: "red cat"."""
        return f"{self.colour} {self.category}"

    @cached_property
    def boxes(self) -> npt.NDArray[np.float64]:
        """Boxes (t, 4) x0, y0, x1, y1 in pixels around every pose; NaN while absent."""
        rows = np.full((FRAMES, 4), np.nan)
        for frame, pose in enumerate(self.poses):
            if pose is not None:
                width, height = self.extent(pose)
                rows[frame] = pose.x - width / 2, pose.y - height / 2, pose.x + width / 2, pose.y + height / 2
        return rows

    def extent(self, pose: Pose) -> tuple[float, float]:
        """Width and height in pixels of the upright box around a pose."""
        width, height = (side * pose.size for side in shape(self.category))
        angle = np.deg2rad(pose.angle)
        c, s = abs(float(np.cos(angle))), abs(float(np.sin(angle)))
        return width * c + height * s, width * s + height * c


@dataclass(frozen=True)
class Scene:
    """Things in front of a background family; ``seed`` draws the background."""

    background: str
    seed: int
    things: tuple[Thing, ...]


def sample_scene(rng: np.random.Generator, *, unseen: bool) -> Scene | None:
    """One random scene, or None where the things found no room.

    Args:
        rng: the only source of chance.
        unseen: also use backgrounds and combinations of category and colour that training never shows.
    """
    families = list(UNSEEN) if unseen and rng.random() < 0.5 else list(SEEN)
    background = families[rng.integers(len(families))]
    seed = int(rng.integers(2**31))
    count = int(rng.choice([3, 4, 5], p=[0.3, 0.4, 0.3]))
    looks = _looks(rng, count, unseen)
    motions = [str(m) for m in rng.choice(list(MOTIONS), count, p=list(MOTIONS.values()))]
    order = [int(z) for z in rng.permutation(count)]
    things: list[Thing] = []
    if rng.random() < 0.3:
        things = _crossing_pair(rng, looks, order)
    elif rng.random() < 0.65:
        motions[0] = "enter" if rng.random() < 0.55 else "leave"
    if count > 3 and rng.random() < 0.25:
        motions[-2:] = [str(rng.choice(["enter", "leave"]))] * 2
    for index in range(len(things), count):
        for _ in range(40):
            thing = _sample_thing(rng, index, looks[index], motions[index], order[index])
            if thing is not None and _fits(thing, things):
                things.append(thing)
                break
        else:
            return None
    return Scene(background, seed, tuple(things))


def _sample_thing(
    rng: np.random.Generator, index: int, look: tuple[str, str], motion: str, z: int
) -> Thing | None:
    category, colour = look
    side = ""
    if motion in ("enter", "leave"):
        side = str(rng.choice(list(SIDES), p=[0.35, 0.35, 0.15, 0.15]))
    flip = bool(rng.random() < 0.5)
    poses = _poses(rng, category, motion, side)
    return None if poses is None else Thing(index, category, colour, motion, side, flip, z, poses)


def _crossing_pair(rng: np.random.Generator, looks: list[tuple[str, str]], order: list[int]) -> list[Thing]:
    """The first two things: one stays, the other passes before or behind it; none where it lacks room."""
    motion = str(rng.choice(list(DIRECTIONS)))
    for _ in range(60):
        target = _sample_thing(rng, 0, looks[0], "stay", order[0])
        poses = None if target is None else _through(rng, looks[1][0], motion, target)
        if target is not None and poses is not None:
            return [target, Thing(1, *looks[1], motion, "", bool(rng.random() < 0.5), order[1], poses)]
    return []


def _looks(rng: np.random.Generator, count: int, unseen: bool) -> list[tuple[str, str]]:
    """Category and colour of each thing; often shared, so that an expression needs what it says."""
    chosen: list[tuple[str, str]] = []
    while len(chosen) < count:
        category = str(rng.choice(list(CATEGORIES)))
        colour = str(rng.choice(list(COLOURS)))
        if unseen and rng.random() < 0.35:
            colour = next(name for name in COLOURS if held_out(category, name))
        elif chosen:
            other, share = chosen[rng.integers(len(chosen))], rng.random()
            if share < 0.35:
                category = other[0]
            elif share < 0.65:
                colour = other[1]
        twin = (category, colour) in chosen
        if (unseen or not held_out(category, colour)) and (not twin or rng.random() < 0.3):
            chosen.append((category, colour))
    return chosen


def _poses(rng: np.random.Generator, category: str, motion: str, side: str) -> tuple[Pose | None, ...] | None:
    """Poses of one motion, inside the frame but for entering and leaving; None if there is no room."""
    longest = max(shape(category))
    bounds = [SMALL, MEDIUM, LARGE][rng.integers(3)]
    size = min(float(rng.uniform(*bounds)), _LONGEST / longest)
    factor = 1.0
    if motion in ("grow", "shrink"):
        size = float(rng.uniform(24, 28))
        factor = min(float(rng.uniform(1.8, 2.2)), 76 / longest / size)
    turn = float(rng.uniform(150, 300)) * (1 if rng.random() < 0.5 else -1) if motion == "turn" else 0.0
    width, height = (extent * size * factor for extent in shape(category))
    if motion == "turn":
        width = height = float(np.hypot(width, height))
    room_x, room_y = SIZE - width - 4, SIZE - height - 4
    if room_x < 1 or room_y < 1:
        return None
    x, y = 2 + width / 2 + rng.random() * room_x, 2 + height / 2 + rng.random() * room_y
    if motion in DIRECTIONS:
        dx, dy = DIRECTIONS[motion]
        ahead = {"left": x - width / 2, "right": SIZE - x - width / 2}
        ahead |= {"up": y - height / 2, "down": SIZE - y - height / 2}
        if ahead[motion] < 34:
            return None
        travel = float(rng.uniform(32, min(ahead[motion], 80)))
        return _travel(rng, x, y, size, dx * travel, dy * travel)
    if motion in ("enter", "leave"):
        return _crossing_edge(rng, x, y, size, (width, height), motion, side)
    ramp = np.clip((np.arange(FRAMES) - 1) / (FRAMES - 3), 0, 1)
    if motion == "shrink":
        return tuple(Pose(x, y, float(size * factor ** (1 - r))) for r in ramp)
    return tuple(Pose(x, y, float(size * factor**r), float(turn * r)) for r in ramp)


def _travel(
    rng: np.random.Generator, x: float, y: float, size: float, dx: float, dy: float
) -> tuple[Pose, ...]:
    """From (x, y) by (dx, dy) at one speed, with a little rest before and after."""
    start, end = int(rng.integers(0, 3)), int(rng.integers(12, FRAMES))
    steps = np.clip((np.arange(FRAMES) - start) / (end - start), 0, 1)
    return tuple(Pose(float(x + dx * step), float(y + dy * step), size) for step in steps)


def _through(rng: np.random.Generator, category: str, motion: str, target: Thing) -> tuple[Pose, ...] | None:
    """Poses that lead across a resting thing, clear of it at both ends; None if there is no room."""
    size = min(float(rng.uniform(SMALL[0], MEDIUM[1])), _LONGEST / max(shape(category)))
    rest = target.poses[0]
    if rest is None:
        return None
    own = np.array(shape(category)) * size
    other, centre = np.array(target.extent(rest)), np.array([rest.x, rest.y])
    way = np.array(DIRECTIONS[motion])
    along = np.abs(way)
    apart = ((own + other) / 2 + 3) * way
    offset = (1 - along) * rng.uniform(-0.25, 0.25) * np.minimum(own, other)
    start = centre + offset - apart - way * rng.uniform(0, 12)
    end = centre + offset + apart + way * rng.uniform(0, 12)
    low, high = np.minimum(start, end) - own / 2, np.maximum(start, end) + own / 2
    if low.min() < 2 or high.max() > SIZE - 2:
        return None
    dx, dy = (float(step) for step in end - start)
    return _travel(rng, float(start[0]), float(start[1]), size, dx, dy)


def _crossing_edge(
    rng: np.random.Generator,
    x: float,
    y: float,
    size: float,
    extent: tuple[float, float],
    motion: str,
    side: str,
) -> tuple[Pose | None, ...]:
    """Poses between (x, y) and the outside. At the edge a quarter of the thing shows, then nothing."""
    sx, sy = SIDES[side]
    depth = {"left": x, "right": SIZE - x, "top": y, "bottom": SIZE - y}[side]
    reach = depth + (extent[0] if sx else extent[1]) * 0.25
    frames = max(int(rng.integers(4, 7)), int(np.ceil(reach / 18)))
    at_edge = int(rng.integers(3, 10))
    distance = np.clip(1 - np.arange(FRAMES) / (frames - 1), 0, 1) * reach
    inward: list[Pose | None] = [None] * at_edge
    inward += [Pose(float(x + sx * d), float(y + sy * d), size) for d in distance[: FRAMES - at_edge]]
    return tuple(inward if motion == "enter" else inward[::-1])


def overlap(first: Thing, second: Thing) -> npt.NDArray[np.float64]:
    """Share (t,) of the smaller box that the other covers; 0 while either is absent."""
    a, b = first.boxes, second.boxes
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    common = np.clip(sides, 0, None).prod(axis=1)
    areas = np.minimum((a[:, 2:] - a[:, :2]).prod(axis=1), (b[:, 2:] - b[:, :2]).prod(axis=1))
    return np.asarray(np.nan_to_num(common / areas))


def _fits(thing: Thing, others: list[Thing]) -> bool:
    shares = [overlap(thing, other) for other in others]
    return all(share[0] <= 0.1 and share.max() <= 0.4 for share in shares)
