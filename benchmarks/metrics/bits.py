"""Masks packed into 64-bit words along their rows: boundaries, dilations and counts 64 pixels at a time.

Column ``c`` of a mask is bit ``c % 64`` of word ``c // 64``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]
"""(rows, words) of one mask."""

_BITS = 64
_ONES = np.array([bin(value).count("1") for value in range(1 << 16)], dtype=np.uint8)


def pack(mask: BoolArray) -> Words:
    """Words (H, ceil(W / 64)) of a mask (H, W); bits beyond the last column are 0."""
    height, width = mask.shape
    # "<u8" is uint64 wherever NumPy is used today; it keeps the bit order on any machine.
    words = np.zeros((height, -(-width // _BITS)), dtype="<u8")
    words.view(np.uint8)[:, : -(-width // 8)] = np.packbits(mask, axis=1, bitorder="little")
    return words


def count(words: Words) -> int:
    """How many bits are set."""
    if hasattr(np, "bitwise_count"):
        return int(np.bitwise_count(words).sum())
    return int(_ONES[np.ascontiguousarray(words).view(np.uint16)].sum())


def used(words: Words) -> tuple[int, int, int, int] | None:
    """First and last row and first and last column of the set bits; None if there is none."""
    rows = np.flatnonzero(words.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.bitwise_or.reduce(words, axis=0)
    filled = np.flatnonzero(columns)
    first, last = int(filled[0]), int(filled[-1])
    lowest = (int(columns[first]) & -int(columns[first])).bit_length() - 1
    highest = int(columns[last]).bit_length() - 1
    return int(rows[0]), int(rows[-1]), first * _BITS + lowest, last * _BITS + highest


def _left(words: Words) -> Words:
    """Every pixel takes the value of its right neighbour."""
    shifted = words >> np.uint64(1)
    shifted[:, :-1] |= words[:, 1:] << np.uint64(_BITS - 1)
    return np.asarray(shifted)


def boundary(words: Words, last_column: int | None) -> Words:
    """Pixels that differ from their right, lower or lower-right neighbour.

    The last row looks only right and column ``last_column`` only down, which is DAVIS's rule at the
    edges of an image.

    Args:
        words: a mask, or a part of one beyond which it is empty.
        last_column: the image's last column, counted from the first word given; None if it is not in it.
    """
    edges = words ^ _left(words)
    edges[:-1] |= words[:-1] ^ _left(words[1:])
    if last_column is not None:
        # Its right and lower-right neighbours are not there.
        edges[:, last_column // _BITS] &= ~np.uint64(1 << (last_column % _BITS))
    edges[:-1] |= words[:-1] ^ words[1:]
    return np.asarray(edges)


def dilate(words: Words, radius: float) -> Words:
    """All pixels within ``radius`` of a set one.

    A disk is a stack of horizontal runs. From the disk's poles to its middle the runs only grow, so each
    is made from the one before: a mask widened by ``s`` and shifted by up to ``2 s + 1`` leaves no gap.
    """
    height, width = words.shape
    # Empty words between the rows, which no run crosses, so that all rows are shifted as one.
    stride = width + int(radius) // _BITS + 1
    padded = np.zeros((height, stride), dtype=words.dtype)
    padded[:, :width] = words
    wide, run = padded.ravel(), 0
    found = np.zeros_like(wide)
    # One scratch space in place of an array for every step: large ones cost more to get than to fill.
    scratch = np.empty((2, wide.size), dtype=words.dtype)
    for shift in range(int(radius), -1, -1):
        wanted = math.isqrt(int(radius * radius) - shift * shift)
        while run < wanted:
            step = min(wanted - run, 2 * run + 1, _BITS - 1)
            _widen(wide, step, scratch)
            run += step
        if shift == 0:
            found |= wide
        elif shift < height:
            found[shift * stride :] |= wide[: -shift * stride]
            found[: -shift * stride] |= wide[shift * stride :]
    return found.reshape(height, stride)[:, :width]


def _widen(words: npt.NDArray[np.uint64], columns: int, scratch: npt.NDArray[np.uint64]) -> None:
    """Set, in place, every pixel that has a set one exactly ``columns`` to its left or right."""
    near, far = scratch
    across = np.uint64(_BITS - columns)
    np.right_shift(words, np.uint64(columns), out=near)
    np.left_shift(words[1:], across, out=far[1:])
    near[:-1] |= far[1:]
    np.right_shift(words[:-1], across, out=far[:-1])
    near[1:] |= far[:-1]
    np.left_shift(words, np.uint64(columns), out=far)
    near |= far
    words |= near
