"""From a scene to frames and masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from grounding_sprites.art import sprite
from grounding_sprites.backgrounds import paint
from grounding_sprites.scene import FRAMES, SIZE, Pose, Scene, Thing


@dataclass(frozen=True)
class Rendered:
    """Pixels of a scene of k things.

    Attributes:
        frames: uint8 (t, H, W, 3).
        whole: bool (k, t, H, W), each thing as if nothing stood before it.
        visible: bool (k, t, H, W), the pixels that are really seen.
    """

    frames: npt.NDArray[np.uint8]
    whole: npt.NDArray[np.bool_]
    visible: npt.NDArray[np.bool_]


def render(scene: Scene) -> Rendered:
    """Draw every frame, far things first."""
    background = paint(scene.background, np.random.default_rng(scene.seed), SIZE).astype(np.float32)
    frames = np.repeat(background[None], FRAMES, axis=0)
    whole = np.zeros((len(scene.things), FRAMES, SIZE, SIZE), dtype=bool)
    visible = np.zeros_like(whole)
    for thing in sorted(scene.things, key=lambda t: t.z):
        last: Pose | None = None
        patch = np.zeros((0, 0, 4), dtype=np.float32)
        corner = (0, 0)
        for frame, pose in enumerate(thing.poses):
            if pose is None:
                continue
            if pose != last:
                patch, corner = _patch(thing, pose)
                last = pose
            y0, x0 = corner
            rows = slice(max(y0, 0), min(y0 + patch.shape[0], SIZE))
            cols = slice(max(x0, 0), min(x0 + patch.shape[1], SIZE))
            part = patch[rows.start - y0 : rows.stop - y0, cols.start - x0 : cols.stop - x0]
            alpha = part[..., 3:] / 255
            frames[frame, rows, cols] = part[..., :3] + (1 - alpha) * frames[frame, rows, cols]
            solid = alpha[..., 0] >= 0.5
            whole[thing.id, frame, rows, cols] = solid
            visible[:, frame, rows, cols] &= ~solid
            visible[thing.id, frame, rows, cols] = solid
    return Rendered(np.rint(frames).astype(np.uint8), whole, visible)


def _patch(thing: Thing, pose: Pose) -> tuple[npt.NDArray[np.float32], tuple[int, int]]:
    """Premultiplied RGBA (h, w, 4) of a thing at a pose, and the frame's (row, column) of its corner."""
    art = sprite(thing.category, thing.colour)
    width, height = thing.extent(pose)
    x0, y0 = int(np.floor(pose.x - width / 2)) - 1, int(np.floor(pose.y - height / 2)) - 1
    size = (int(np.ceil(width)) + 3, int(np.ceil(height)) + 3)
    wanted = art.shape[0] * pose.size
    level = next((image for image in reversed(art.levels) if image.width >= wanted), art.levels[0])
    zoom = level.width / wanted
    angle = np.deg2rad(pose.angle)
    c, s = float(np.cos(angle)) * zoom, float(np.sin(angle)) * zoom
    mirror = -1.0 if thing.flip else 1.0
    cx, cy = pose.x - x0, pose.y - y0
    matrix = (
        mirror * c,
        mirror * s,
        level.width / 2 - mirror * (c * cx + s * cy),
        -s,
        c,
        level.height / 2 - (c * cy - s * cx),
    )
    turned = level.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(turned, dtype=np.float32), (y0, x0)
