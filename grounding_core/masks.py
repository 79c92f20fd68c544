"""Masks of one object over time, kept as COCO run-length codes (pycocotools)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from grounding_core.errors import GroundingError

BoolMask = npt.NDArray[np.bool_]


def encode(mask: npt.ArrayLike) -> bytes | None:
    """COCO-RLE counts of one mask (H, W), bool or whole numbers of which 0 is outside; None without a pixel.

    Raises:
        GroundingError: the mask has another shape, or numbers whose threshold is the caller's to choose.
    """
    array = np.asarray(mask)
    if array.ndim != 2:
        raise GroundingError(f"A mask has shape (H, W), got {array.shape}.", "Pass one frame at a time.")
    if array.dtype.kind in "iu":
        # pycocotools starts a run at each change of value, and 256 is 0 in its 8 bits.
        array = array != 0
    elif array.dtype != np.bool_:
        raise GroundingError(
            f"A mask is bool or whole numbers, got {array.dtype}.", "Pass e.g. probabilities > 0.5."
        )
    if not array.any():
        return None
    return bytes(coco.encode(np.asfortranarray(array).view(np.uint8))["counts"])


def decode(counts: bytes | None, size: tuple[int, int]) -> BoolMask:
    """The mask (H, W) of COCO-RLE counts; None gives an empty mask."""
    if counts is None:
        return np.zeros(size, dtype=bool)
    return np.asarray(coco.decode({"size": list(size), "counts": counts}), dtype=bool)


def counts_of(rle: Mapping[str, Any] | None) -> bytes | None:
    """Compressed counts of a COCO RLE object as data sets store it (bytes, text or a list of runs)."""
    if rle is None:
        return None
    counts = rle["counts"]
    if isinstance(counts, list):
        height, width = rle["size"]
        counts = coco.frPyObjects(dict(rle), height, width)["counts"]
    return counts.encode("ascii") if isinstance(counts, str) else bytes(counts)


def runs_of(counts: bytes) -> list[int]:
    """Lengths of the runs of compressed COCO counts, background first.

    A character holds 5 bits, lowest first, and whether more follow; the last has the sign. From the fourth
    run on, the difference to the last but one is stored. Source: rleFrString in pycocotools' maskApi.c.

    Raises:
        ValueError: the code is damaged.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        code = character - 48
        if not 0 <= code < 64 or shift > 30:
            raise ValueError("a mask's code is damaged")
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift or any(run < 0 for run in runs):
        raise ValueError("a mask's code is damaged")
    return runs


def fits(counts: bytes, size: tuple[int, int]) -> bool:
    """Whether counts are whole and cover a mask (H, W), which pycocotools looks at only as it decodes."""
    try:
        return sum(runs_of(counts)) == size[0] * size[1]
    except ValueError:
        return False


def _blank(counts: bytes, size: tuple[int, int]) -> bool:
    return fits(counts, size) and not any(runs_of(counts)[1::2])


@dataclass(frozen=True)
class MaskTrack:
    """One object's mask in every frame of a video.

    Attributes:
        id: unique within an answer.
        size: (H, W) in pixels, that of the video's own frames.
        frames: one entry a frame of the video: COCO-RLE counts, or None where the object is not
            visible; counts without a pixel become None. "Not annotated" is a fact of a data set's
            sample and never lives here.
    """

    id: int
    size: tuple[int, int]
    frames: tuple[bytes | None, ...]

    def __post_init__(self) -> None:
        height, width = self.size
        if height < 1 or width < 1:
            raise GroundingError(f"Track {self.id} has size {self.size}.", "Use (height, width) >= (1, 1).")
        for index, counts in enumerate(self.frames):
            if counts is not None and not isinstance(counts, bytes):
                raise GroundingError(
                    f"Track {self.id} frame {index} holds {type(counts).__name__}, expected bytes or None.",
                    "Encode masks with grounding_core.masks.encode.",
                )
        # Other programs write codes of empty masks. Long codes have pixels and need no look.
        blank = {
            counts
            for counts in self.frames
            if counts is not None and len(counts) <= 16 and _blank(counts, self.size)
        }
        if blank:
            kept = tuple(None if counts in blank else counts for counts in self.frames)
            object.__setattr__(self, "frames", kept)

    @classmethod
    def from_masks(cls, id: int, masks: Iterable[npt.ArrayLike]) -> MaskTrack:
        """From masks (H, W) frame by frame; reads the iterable once, so it may stream."""
        size: tuple[int, int] | None = None
        frames: list[bytes | None] = []
        for mask in masks:
            array = np.asarray(mask)
            if size is not None and array.shape != size:
                raise GroundingError(f"Track {id} changes from {size} to {array.shape}.", "Use one size.")
            frames.append(encode(array))
            size = (int(array.shape[0]), int(array.shape[1]))
        if size is None:
            raise GroundingError(f"Track {id} has no frames.", "Pass at least one mask.")
        return cls(id=id, size=size, frames=tuple(frames))

    def __len__(self) -> int:
        return len(self.frames)

    def mask(self, frame: int) -> BoolMask:
        """The mask (H, W) of a frame; all False where the object is not visible."""
        return decode(self.frames[frame], self.size)

    def masks(self, frames: Sequence[int] | None = None) -> BoolMask:
        """Masks (t, H, W) of the given frames (default: all)."""
        indices = range(len(self)) if frames is None else frames
        return np.stack([self.mask(i) for i in indices]) if len(indices) else np.zeros((0, *self.size), bool)

    def visible(self) -> tuple[int, ...]:
        """Frames in which the object is visible."""
        return tuple(i for i, counts in enumerate(self.frames) if counts is not None)

    def box(self, frame: int) -> tuple[float, float, float, float] | None:
        """Box (x0, y0, x1, y1) in pixels, right and lower edges exclusive; None if not visible."""
        counts = self.frames[frame]
        if counts is None:
            return None
        x, y, w, h = coco.toBbox({"size": list(self.size), "counts": counts})
        return float(x), float(y), float(x + w), float(y + h)

    def boxes(self) -> dict[int, tuple[float, float, float, float]]:
        """`box` of every frame in which the object is visible."""
        rows = [row for codes in self._codes() for row in coco.toBbox(codes).tolist()]
        boxes = [(x, y, x + w, y + h) for x, y, w, h in rows]
        return dict(zip(self.visible(), boxes, strict=True))

    def areas(self) -> dict[int, int]:
        """`area` of every frame in which the object is visible."""
        areas = [area for codes in self._codes() for area in coco.area(codes).tolist()]
        return dict(zip(self.visible(), areas, strict=True))

    def _codes(self) -> Iterator[list[dict[str, Any]]]:
        """What pycocotools takes at once: it counts the masks of a call in 8 bits."""
        seen, size = self.visible(), list(self.size)
        for start in range(0, len(seen), 255):
            yield [{"size": size, "counts": self.frames[index]} for index in seen[start : start + 255]]

    def area(self, frame: int) -> int:
        """Number of pixels in a frame."""
        counts = self.frames[frame]
        return 0 if counts is None else int(coco.area({"size": list(self.size), "counts": counts}))


def unite(tracks: Sequence[MaskTrack], *, id: int = 0) -> MaskTrack:
    """The union of several tracks of one video, frame by frame."""
    first = tracks[0]
    for track in tracks[1:]:
        if (track.size, len(track)) != (first.size, len(first)):
            raise GroundingError(
                f"Tracks {first.id} and {track.id} differ: {first.size}x{len(first)} against "
                f"{track.size}x{len(track)} frames.",
                "Unite tracks of one video only.",
            )
    if len(tracks) == 1:
        return MaskTrack(id=id, size=first.size, frames=first.frames)
    frames: list[bytes | None] = []
    for counts in zip(*(track.frames for track in tracks), strict=True):
        present = [{"size": list(first.size), "counts": c} for c in counts if c is not None]
        frames.append(bytes(coco.merge(present, intersect=0)["counts"]) if present else None)
    return MaskTrack(id=id, size=first.size, frames=tuple(frames))
