"""Connected pieces of masks."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor


def strongest_piece(logits: Tensor) -> Tensor:
    """Of each mask keep one connected piece, that with the largest sum of logits.

    Args:
        logits: (k, h, w); masks are logits > 0, neighbours share an edge.

    Returns:
        The same, with the sign turned around in the other pieces.
    """
    values = logits.detach().float().cpu().numpy()
    dropped = np.zeros(values.shape, bool)
    for mask, drop in zip(values, dropped, strict=True):
        labels, count = ndimage.label(mask > 0)
        if count > 1:
            sums = ndimage.sum_labels(mask, labels, range(1, count + 1))
            drop[:] = (labels > 0) & (labels != 1 + np.argmax(sums))
    return torch.where(torch.from_numpy(dropped).to(logits.device), -logits, logits)
