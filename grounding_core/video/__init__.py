"""Videos from anywhere, as frames with timestamps. Loads no video reader until one is needed."""

from grounding_core.video.handle import Video, sample_indices

__all__ = ["Video", "sample_indices"]
