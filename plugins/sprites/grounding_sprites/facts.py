"""What is true of a scene. Every test answers yes, no, or None: too close to call.

An expression built on a test is used only if it is yes for its referents and no for everything else,
so that what a reader could argue about is never asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from grounding_sprites.render import Rendered
from grounding_sprites.scene import DIRECTIONS, FRAMES, SIZE, Scene, Thing

Answer = bool | None
Test = Callable[[Thing], Answer]

TRAVEL, DRIFT = 26.0, 4.0
"""Pixels: at least this far is a movement, up to that is none."""
PLACE_GAP, NEAR_GAP = 16.0, 4.0
"""Pixels between centres: at least this is clearly left/above; below that is clearly not."""
SIZE_RATIO = 1.25
ORDER_GAP = 3
"""Frames between two entrances (or exits) that are clearly one after the other."""
MIN_VISIBLE = 12
"""Pixels: a thing that shows fewer (and more than none) makes a scene unusable."""


@dataclass(frozen=True)
class Facts:
    """A rendered scene and everything that can be asked about it."""

    scene: Scene
    rendered: Rendered

    @property
    def things(self) -> tuple[Thing, ...]:
        """The scene's things."""
        return self.scene.things

    @cached_property
    def areas(self) -> npt.NDArray[np.int64]:
        """Visible pixels (k, t)."""
        return np.asarray(self.rendered.visible.sum(axis=(2, 3)))

    @cached_property
    def sizes(self) -> npt.NDArray[np.float64]:
        """Root of the area in pixels of each unhidden thing, (k, t); NaN while absent or cut by the edge."""
        pixels = self.rendered.whole.sum(axis=(2, 3)).astype(float)
        cut = self.rendered.whole[:, :, [0, -1], :].any(axis=(2, 3))
        cut |= self.rendered.whole[:, :, :, [0, -1]].any(axis=(2, 3))
        return np.asarray(np.sqrt(np.where((pixels > 0) & ~cut, pixels, np.nan)))

    @cached_property
    def overlaps(self) -> npt.NDArray[np.float32]:
        """Share (k, k, t) of the smaller thing's pixels that lie before or behind the other's."""
        flat = self.rendered.whole.reshape(len(self.things), FRAMES, -1).swapaxes(0, 1).astype(np.float32)
        common = flat @ flat.swapaxes(1, 2)
        own = np.einsum("tkk->tk", common)
        smaller = np.minimum(own[:, :, None], own[:, None])
        return np.asarray((common / np.maximum(smaller, 1)).transpose(1, 2, 0))

    def usable(self) -> bool:
        """Whether every thing is seen well: no slivers, never hidden for long, clear at both ends."""
        whole = np.maximum(self.rendered.whole.sum(axis=(2, 3)), 1)
        share = self.areas / whole
        present = np.array([[pose is not None for pose in thing.poses] for thing in self.things])
        sliver = present & (self.areas > 0) & (self.areas < MIN_VISIBLE)
        dim = (present & (share < 0.35)).sum(axis=1)
        clear = (present & (share > 0.9)).sum(axis=1)
        ends = (share[present[:, 0], 0] > 0.75).all() and (share[present[:, -1], -1] > 0.6).all()
        return bool(not sliver.any() and (dim <= 6).all() and (clear >= 4).all() and ends)

    def interval(self, thing: Thing) -> tuple[int, int] | None:
        """Frames [start, end) in which a thing is visible, None if it is hidden in between."""
        seen = np.flatnonzero(self.areas[thing.id])
        start, end = int(seen[0]), int(seen[-1]) + 1
        return (start, end) if len(seen) == end - start else None

    def category(self, name: str) -> Test:
        """It is of this category."""
        return lambda thing: thing.category == name

    def colour(self, name: str) -> Test:
        """It has this colour."""
        return lambda thing: thing.colour == name

    def moves(self, direction: str) -> Test:
        """It travels in this direction and stays in view; entering and leaving are too close to call."""
        dx, dy = DIRECTIONS[direction]

        def test(thing: Thing) -> Answer:
            poses = [pose for pose in thing.poses if pose is not None]
            ahead = (poses[-1].x - poses[0].x) * dx + (poses[-1].y - poses[0].y) * dy
            if ahead <= DRIFT:
                return False
            return True if ahead >= TRAVEL and len(poses) == FRAMES else None

        return test

    def grows(self, thing: Thing) -> Answer:
        """It ends larger than it began."""
        return self._scales(thing, 1)

    def shrinks(self, thing: Thing) -> Answer:
        """It ends smaller than it began."""
        return self._scales(thing, -1)

    def _scales(self, thing: Thing, sign: int) -> Answer:
        poses = [pose for pose in thing.poses if pose is not None]
        ratio = (poses[-1].size / poses[0].size) ** sign
        if ratio >= 1.6:
            return True
        return False if ratio <= 1.1 else None

    def turns(self, thing: Thing) -> Answer:
        """It rotates by 120 degrees or more."""
        poses = [pose for pose in thing.poses if pose is not None]
        angle = abs(poses[-1].angle - poses[0].angle)
        if angle >= 120:
            return True
        return False if angle < 5 else None

    def stays(self, thing: Thing) -> Answer:
        """Nothing about it changes."""
        return len(set(thing.poses)) == 1

    def enters(self, side: str = "") -> Test:
        """It is absent at first and comes in (at this side)."""
        return lambda thing: thing.poses[0] is None and thing.side in (side or thing.side,)

    def leaves(self, side: str = "") -> Test:
        """It goes out (at this side) and stays away."""
        return lambda thing: thing.poses[-1] is None and thing.side in (side or thing.side,)

    def passes(self, other: Thing, *, behind: bool) -> Test:
        """It moves behind (or in front of) another thing, clear of it at both ends."""

        def test(thing: Thing) -> Answer:
            if thing.id == other.id:
                return False
            share = self.overlaps[thing.id, other.id]
            if share.max() < 0.02:
                return False
            moving = any(self.moves(direction)(thing) for direction in DIRECTIONS)
            apart = max(share[0], share[-1]) <= 0.02
            if not (moving and self.stays(other) and apart and share.max() >= 0.3):
                return None
            return (thing.z < other.z) == behind

        return test

    def first_to_change(self, *, enters: bool, last: bool) -> Test:
        """It is the first (or last) to enter (or to leave), clearly apart from the next."""

        def when(thing: Thing) -> int | None:
            start, end = thing.poses[0] is None, thing.poses[-1] is None
            frames = [i for i, pose in enumerate(thing.poses) if pose is not None]
            if enters:
                return frames[0] if start else None
            return frames[-1] if end else None

        times = {thing.id: time for thing in self.things if (time := when(thing)) is not None}

        def test(thing: Thing) -> Answer:
            if thing.id not in times:
                return False
            others = [time for id, time in times.items() if id != thing.id]
            if not others:
                return None
            lead = times[thing.id] - max(others) if last else min(others) - times[thing.id]
            return True if lead >= ORDER_GAP else (False if lead <= -ORDER_GAP else None)

        return test

    def extreme_size(self, largest: bool, among: Test | None = None) -> Test:
        """It is the largest (smallest) of its kind at all times, by a clear ratio."""
        smallest_ever, largest_ever = np.nanmin(self.sizes, axis=1), np.nanmax(self.sizes, axis=1)
        members = [thing.id for thing in self.things if among is None or among(thing)]

        def test(thing: Thing) -> Answer:
            others = [i for i in members if i != thing.id]
            if thing.id not in members or not others:
                return False
            if largest:
                ratio = smallest_ever[thing.id] / max(largest_ever[i] for i in others)
                never = largest_ever[thing.id] * SIZE_RATIO <= max(smallest_ever[i] for i in others)
            else:
                ratio = min(smallest_ever[i] for i in others) / largest_ever[thing.id]
                never = min(largest_ever[i] for i in others) * SIZE_RATIO <= smallest_ever[thing.id]
            return True if ratio >= SIZE_RATIO else (False if never else None)

        return test

    def extreme_place(self, direction: str, among: Test | None = None) -> Test:
        """At the start it is the furthest in a direction of its kind, and in that half of the picture."""
        dx, dy = DIRECTIONS[direction]
        reach = {
            thing.id: (pose.x - SIZE / 2) * dx + (pose.y - SIZE / 2) * dy
            for thing in self.things
            if (pose := thing.poses[0]) is not None and (among is None or among(thing))
        }

        later = [
            (pose.x - SIZE / 2) * dx + (pose.y - SIZE / 2) * dy
            for thing in self.things
            if thing.id not in reach and (among is None or among(thing))
            for pose in thing.poses
            if pose is not None
        ]

        def test(thing: Thing) -> Answer:
            if thing.id not in reach:
                return False
            if max(later, default=-SIZE) > reach[thing.id] - NEAR_GAP:
                return None  # what comes in later would be further out: which one is meant?
            lead = reach[thing.id] - max((r for id, r in reach.items() if id != thing.id), default=-SIZE)
            if lead >= PLACE_GAP and reach[thing.id] >= PLACE_GAP / 2:
                return True
            return False if lead <= -PLACE_GAP else None

        return test

    def beside(self, other: Thing, direction: str) -> Test:
        """At the start it is clearly left of (right of, above, below) another thing."""
        dx, dy = DIRECTIONS[direction]

        def test(thing: Thing) -> Answer:
            here, there = thing.poses[0], other.poses[0]
            if thing.id == other.id or here is None or there is None:
                return False
            ahead = (here.x - there.x) * dx + (here.y - there.y) * dy
            across = abs((here.x - there.x) * dy) + abs((here.y - there.y) * dx)
            if ahead <= -NEAR_GAP:
                return False
            return True if ahead >= PLACE_GAP + 6 and across <= 0.8 * ahead else None

        return test
