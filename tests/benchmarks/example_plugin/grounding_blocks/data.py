"""Videos of one bright block each, drawn in memory."""

from functools import partial

import numpy as np

from grounding_core import GroundedText, MaskTrack, Query, Span, Video
from grounding_core.interfaces.dataset import Dataset, Sample, Truth

FRAMES, SIZE = 4, (24, 32)


class Blocks(Dataset):
    tasks = ("refseg", "gcg", "count")
    default_split = "all"
    licence = "none needed"

    def samples(self, task, split):
        query = Query("", "describe") if task == "gcg" else Query("the block", "refer")
        return [
            Sample(
                f"block{i}/{task}",
                f"block{i}",
                query,
                partial(video, i),
                partial(truth, i),
                {"place": str(i % 2)},
            )
            for i in range(4)
        ]


def masks(number):
    found = np.zeros((FRAMES, *SIZE), dtype=bool)
    for frame in range(FRAMES):
        found[frame, 4:12, 2 + 3 * frame + number : 10 + 3 * frame + number] = True
    return found


def video(number):
    return Video.open(np.repeat(masks(number)[..., None] * np.uint8(200), 3, axis=-1))


def truth(number):
    track = MaskTrack.from_masks(0, masks(number))
    return Truth((track,), GroundedText("A block moves.", (Span(2, 7, (0,)),), (track,)))
