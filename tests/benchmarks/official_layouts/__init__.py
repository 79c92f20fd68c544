"""Small data sets written in the official layouts, with every mask known; one module a data set."""

from pathlib import Path

from . import (
    activitynet_gcg,
    grandf,
    hcstvg,
    mevis,
    mevis_gcg,
    reason_seg,
    reason_vos,
    ref_davis,
    ref_youtube_vos,
    refcoco,
    revos,
    tube_gcg,
    video_gcg,
    vidstg,
)
from .scene import FRAMES, SIZE, VIDEOS, box_mask, rle, write_mp4

__all__ = ["FRAMES", "SIZE", "VIDEOS", "box_mask", "rle", "write_mp4", "write_official"]

LAYOUTS = (
    activitynet_gcg, grandf, hcstvg, mevis, mevis_gcg, reason_seg, reason_vos, ref_davis, ref_youtube_vos,
    refcoco, revos, tube_gcg, video_gcg, vidstg,
)  # fmt: skip


def write_official(root: Path) -> Path:
    """All of them below one data root."""
    for layout in LAYOUTS:
        layout.write(root)
    return root
