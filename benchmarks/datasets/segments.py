"""COCO segmentations of one image: polygons, run-length codes, or several of either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycocotools import mask as coco

from grounding_core.masks import MaskTrack, counts_of

Segmentation = Mapping[str, Any] | Sequence[Any]


def still(id: int, segmentation: Segmentation, size: tuple[int, int]) -> MaskTrack:
    """A track of one frame from a COCO segmentation; an empty one is not visible.

    Args:
        id: of the track.
        segmentation: an RLE object, or a list of RLE objects or of polygons (x0, y0, x1, ...), united.
        size: (H, W) of the image.

    Raises:
        KeyError, TypeError, ValueError: it is none of these, or does not fit the image.
    """
    pieces = [segmentation] if isinstance(segmentation, Mapping) else list(segmentation)
    polygons = [piece for piece in pieces if not isinstance(piece, Mapping)]
    rles: list[dict[str, Any]] = coco.frPyObjects(polygons, *size) if polygons else []
    for piece in pieces:
        if isinstance(piece, Mapping):
            told = tuple(int(side) for side in piece["size"])
            if told != size:
                raise ValueError(f"a mask has size {told}, its image {size}")
            rles.append({"size": list(size), "counts": counts_of(piece)})
    if not rles or not coco.area(merged := coco.merge(rles)):
        return MaskTrack(id, size, (None,))
    return MaskTrack(id, size, (bytes(merged["counts"]),))
