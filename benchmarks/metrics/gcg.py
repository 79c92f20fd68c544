"""Grounded captions: which predicted object is which true one, by mask tubes and by words.

Source of the official variants: VideoGLaMM ``eval_gcg_metrics.py`` and ``eval_gcg_infer.py`` (6b15b1e).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from grounding_core.masks import MaskTrack

FloatArray = npt.NDArray[np.float64]

MIN_IOU = 0.5
MIN_TEXT = 0.5


def tube_iou(first: MaskTrack, second: MaskTrack, frames: Sequence[int] | None = None) -> float:
    """Intersection over union summed over all pixels of all ``frames``; NaN if both are empty there."""
    intersection = union = 0
    for frame in range(len(first)) if frames is None else frames:
        ours, theirs = first.area(frame), second.area(frame)
        both = 0
        a, b = first.frames[frame], second.frames[frame]
        if a is not None and b is not None:
            size = list(first.size)
            both = int(
                coco.area(coco.merge([{"size": size, "counts": a}, {"size": size, "counts": b}], intersect=1))
            )
        intersection += both
        union += ours + theirs - both
    return intersection / union if union else float("nan")


def iou_matrix(
    predicted: Sequence[MaskTrack], truth: Sequence[MaskTrack], frames: Sequence[int] | None = None
) -> FloatArray:
    """Tube IoU (predictions, truths)."""
    table = [[tube_iou(p, t, frames) for t in truth] for p in predicted]
    return np.asarray(table, dtype=np.float64).reshape(len(predicted), len(truth))


def miou_official(ious: npt.ArrayLike) -> float:
    """Mean IoU over the pairs a greedy one-to-one matching finds.

    Unmatched objects cost nothing, and one pair of two empty tubes (NaN) makes the whole sample 0.

    Args:
        ious: (predictions, truths).
    """
    table = np.array(ious, dtype=np.float64)
    if table.size == 0 or np.isnan(table).any():
        return 0.0
    pairs = _greedy_values(table)
    return float(np.mean(pairs)) if pairs else 0.0


def miou_corrected(ious: npt.ArrayLike) -> float:
    """The same matching; each unmatched truth and each unmatched prediction counts as a pair of IoU 0.

    A pair of two empty tubes is a perfect one, and so is a sample without objects on either side.
    """
    table = np.array(ious, dtype=np.float64)
    if table.ndim != 2 or sum(table.shape) == 0:
        return 1.0
    pairs = _greedy_values(np.where(np.isnan(table), 1.0, table))
    return float(sum(pairs) / (sum(table.shape) - len(pairs)))


def _greedy_values(table: FloatArray) -> list[float]:
    """IoUs of the pairs, largest first, until the largest is 0; ties by prediction, then truth."""
    left = table.copy()
    values: list[float] = []
    while left.size and left.max() > 0:
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        values.append(float(left[row, column]))
        left[row], left[:, column] = 0.0, 0.0
    return values


def matches_official(
    ious: npt.ArrayLike, texts: npt.ArrayLike, *, min_iou: float = MIN_IOU, min_text: float = MIN_TEXT
) -> list[tuple[int, int]]:
    """Pairs (truth, prediction) that agree in mask and words, in the order in which they are found.

    Takes the best remaining IoU and **stops** at the first pair that misses a threshold, even where
    other pairs would pass. A pair of two empty tubes passes the IoU threshold.

    Args:
        ious: (truths, predictions), NaN for two empty tubes.
        texts: similarity of phrases (truths, predictions).
        min_iou: smallest IoU of a match.
        min_text: smallest similarity of a match.
    """
    table, words = np.array(ious, dtype=np.float64), np.asarray(texts, dtype=np.float64)
    pairs: list[tuple[int, int]] = []
    while table.size and len(pairs) < min(table.shape):
        # argmax() returns the first NaN if there is one, and NaN is below no threshold: kept as it is.
        row, column = np.unravel_index(int(table.argmax()), table.shape)
        if table[row, column] < min_iou or words[row, column] < min_text:
            break
        pairs.append((int(row), int(column)))
        table[row], table[:, column] = 0.0, 0.0
    return pairs


def matches_corrected(
    ious: npt.ArrayLike, texts: npt.ArrayLike, *, min_iou: float = MIN_IOU, min_text: float = MIN_TEXT
) -> list[tuple[int, int]]:
    """As `matches_official`, but pairs below a threshold are passed over, and two empty tubes agree."""
    table, words = np.array(ious, dtype=np.float64), np.asarray(texts, dtype=np.float64)
    if table.size == 0:
        return []
    table = np.where(np.isnan(table), 1.0, table)
    table[(table < min_iou) | (words < min_text)] = -1.0
    pairs: list[tuple[int, int]] = []
    while table.max() >= 0:
        row, column = np.unravel_index(int(table.argmax()), table.shape)
        pairs.append((int(row), int(column)))
        table[row], table[:, column] = -1.0, -1.0
    return pairs


_PHRASE = re.compile(r"<p>(.*?)</p>")
_TAG = re.compile(r"<.*?>")


def read_markup_official(reply: str) -> tuple[str, list[str]]:
    """Caption and phrases of a raw reply, as VideoGLaMM's ``clean_caption`` reads it.

    Whatever stands between a ``<`` and a later ``>`` is lost, also plain text; line breaks vanish without
    leaving a blank; the text before the last ``ASSISTANT: `` is cut, which the prompt of Phi-3 does not have,
    so there the prompt stays in the caption.
    """
    turn = reply.replace("\n", "").replace("  ", " ").split("ASSISTANT: ")[-1]
    words = _TAG.sub("", turn).replace("[SEG]", "").split()
    return " ".join(words).strip("'").strip(), [phrase.strip() for phrase in _PHRASE.findall(turn)]
