"""A quick look during training: mean IoU by kind of question, and a picture of predicted masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL.Image import Image

from grounding_core.interfaces.dataset import Sample
from grounding_core.masks import MaskTrack
from grounding_core.model import GroundingModel
from grounding_core.render import contact_sheet, stack_sheets
from grounding_core.training.data import by_video

PICTURES = 6


def mean_iou(predicted: MaskTrack, truth: MaskTrack) -> float:
    """Region IoU of each frame, averaged; 1 where both are empty (DAVIS 2017's J)."""
    values = []
    for frame in range(len(truth)):
        a, b = predicted.mask(frame), truth.mask(frame)
        union = np.logical_or(a, b).sum()
        values.append(np.logical_and(a, b).sum() / union if union else 1.0)
    return float(np.mean(values))


def validate(
    model: GroundingModel, samples: Sequence[Sample], videos: int, picture: Path
) -> dict[str, float]:
    """Mean J by the samples' ``kind`` tag over the first videos, and the share of truncated captions.

    Args:
        model: in evaluation mode.
        samples: refseg samples give J, gcg samples a picture.
        videos: how many videos to look at.
        picture: PNG to write.
    """
    found: dict[str, list[float]] = defaultdict(list)
    sheets: list[Image] = []
    for group in by_video(samples)[:videos]:
        video = group[0].open_video()
        answers = model.ground(model.encode(video), [sample.query for sample in group])
        for sample, answer in zip(group, answers, strict=True):
            truth = sample.load_truth()
            if truth.caption is not None:
                found["finished captions"].append(float(not answer.meta["truncated"]))
                if len(sheets) < PICTURES:
                    sheets.append(contact_sheet(video, answer, frames=6))
            elif answer.tracks:
                value = mean_iou(answer.tracks[0], truth.tracks[0])
                found["J"].append(value)
                found[f"J {sample.tags.get('kind', 'other')}"].append(value)
            else:
                found["J"].append(0.0)
                found[f"J {sample.tags.get('kind', 'other')}"].append(0.0)
    if sheets:
        picture.parent.mkdir(parents=True, exist_ok=True)
        stack_sheets(sheets).save(picture)
    return {kind: float(np.mean(values)) for kind, values in sorted(found.items())}
