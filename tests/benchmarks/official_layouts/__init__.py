"""Small data sets written in the official layouts, with every mask known; one module a data set."""

from pathlib import Path

from . import (
    grandf,
    mevis,
    reason_seg,
    reason_vos,
    ref_davis,
    ref_youtube_vos,
    refcoco,
    revos,
    video_gcg,
    vidstg,
)
from .scene import FRAMES, SIZE, VIDEOS, box_mask, rle, write_mp4

__all__ = ["FRAMES", "SIZE", "VIDEOS", "box_mask", "rle", "write_mp4", "write_official"]

LAYOUTS = (
    grandf, mevis, reason_seg, reason_vos, ref_davis, ref_youtube_vos, refcoco, revos, video_gcg, vidstg,
)  # fmt: skip


def write_official(root: Path) -> Path:
    """All of them below one data root."""
    for layout in LAYOUTS:
        layout.write(root)
    return root
