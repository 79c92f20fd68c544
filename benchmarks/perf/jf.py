"""``python -m benchmarks.perf.jf``: J and F of the same masks, by DAVIS's algorithm and by ours.

The official algorithm is stated again in this file's own words, with the library calls it makes: whole
frames, and boundaries widened with OpenCV by a disk as scikit-image makes it (``pip install
opencv-python-headless``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.metrics.refseg import BOUND_TH, frame_scores

BoolArray = npt.NDArray[np.bool_]
Pair = tuple[BoolArray, BoolArray]
Scorer = Callable[[BoolArray, BoolArray], tuple[float, float]]

SIZES = {"480p": (480, 854), "1080p": (1080, 1920)}
SHARES = {"small": 0.1, "medium": 0.25, "large": 0.45}
"""Radius of the object as a share of the frame's height."""


def official_scores(cv2: Any) -> Scorer:
    """J and F of one frame as davis2017-evaluation computes them."""

    def scores(truth: BoolArray, predicted: BoolArray) -> tuple[float, float]:
        void = np.zeros_like(predicted)
        union = np.sum((predicted | truth) & np.logical_not(void))
        j = np.sum((predicted & truth) & np.logical_not(void)) / union if union else 1.0
        radius = int(np.ceil(BOUND_TH * np.linalg.norm(truth.shape)))
        found, expected = (_boundary(mask * np.logical_not(void)) for mask in (predicted, truth))
        disk = _disk(radius)
        near_found, near_expected = (cv2.dilate(edges.astype(np.uint8), disk) for edges in (found, expected))
        n_found, n_expected = np.sum(found), np.sum(expected)
        if n_found == 0 or n_expected == 0:
            return float(j), float(n_found == n_expected)
        precision = np.sum(found * near_expected) / float(n_found)
        recall = np.sum(expected * near_found) / float(n_expected)
        if precision + recall == 0:
            return float(j), 0.0
        return float(j), float(2 * precision * recall / (precision + recall))

    return scores


def _disk(radius: int) -> npt.NDArray[np.uint8]:
    """``skimage.morphology.disk``."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= radius * radius, dtype=np.uint8)


def _boundary(mask: BoolArray) -> BoolArray:
    right, below, diagonal = (np.zeros_like(mask) for _ in range(3))
    right[:, :-1], below[:-1], diagonal[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    edges = mask ^ right | mask ^ below | mask ^ diagonal
    edges[-1] = mask[-1] ^ right[-1]
    edges[:, -1] = mask[:, -1] ^ below[:, -1]
    edges[-1, -1] = False
    return edges


def blob(size: tuple[int, int], share: float, rng: np.random.Generator) -> BoolArray:
    """A wavy object near the middle of a frame (H, W)."""
    height, width = size
    y, x = np.ogrid[:height, :width]
    top, left = (side * (0.49 + 0.02 * rng.random()) for side in size)
    angle = np.arctan2(y - top, x - left)
    radius = share * height * (1 + 0.2 * np.sin(5 * angle + rng.random()) + 0.05 * np.sin(23 * angle))
    return np.asarray(np.hypot(y - top, x - left) < radius)


def seconds(score: Scorer, pairs: list[Pair], rounds: int) -> float:
    """Time of one pair, in the best of several rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for truth, predicted in pairs:
            score(truth, predicted)
        best = min(best, time.perf_counter() - start)
    return best / len(pairs)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def measure(
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of masks of each kind.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="The best of so many is taken.")] = 3,
) -> None:
    """Time both on one core, and check that they give the same numbers."""
    cv2 = import_module("cv2")
    cv2.setNumThreads(1)
    official = official_scores(cv2)
    table = Table("frame", "object", box=None, padding=(0, 2, 0, 0))
    for name in ("official ms", "ours ms", "times faster", "largest difference"):
        table.add_column(name, justify="right", no_wrap=True)
    rng = np.random.default_rng(0)
    worst = 0.0
    for frame, size in SIZES.items():
        for kind, share in SHARES.items():
            masks = [(blob(size, share, rng), blob(size, share, rng)) for _ in range(pairs)]
            differences = [np.subtract(official(*pair), frame_scores(*pair)) for pair in masks]
            difference = float(np.abs(differences).max())
            slow, fast = seconds(official, masks, rounds), seconds(frame_scores, masks, rounds)
            numbers = f"{slow * 1e3:.2f}", f"{fast * 1e3:.2f}", f"{slow / fast:.0f}", f"{difference:.0e}"
            table.add_row(frame, kind, *numbers)
            worst = max(worst, difference)
    Console().print(table)
    if worst > 1e-12:
        raise typer.Exit(1)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.jf")
