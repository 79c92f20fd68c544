"""VideoGLaMM's losses: cross-entropy on text, BCE and Dice on masks (paper, section 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from grounding_core.model import Batch, Outputs
from grounding_core.training.config import LossWeights

DICE_SCALE = 1000.0
DICE_EPS = 1e-6


def text_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over all learned tokens of the batch; logits (w, v), targets (w,)."""
    return F.cross_entropy(logits.float(), targets)


def mask_bce(logits: Tensor, target: Tensor) -> Tensor:
    """BCE, mean over pixels, then over objects and frames; both (k, t, H, W).

    Pixels whose target is negative are ignored: they cost nothing, but stay in the mean, as in the reference.
    """
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * (target >= 0)).mean()


def mask_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Dice loss, mean over objects and frames; both (k, t, H, W). Scale and epsilon as in the reference.

    Pixels whose target is negative are ignored.
    """
    kept = target >= 0
    p = (logits.sigmoid() * kept).flatten(2)
    t = (target * kept).flatten(2)
    overlap = 2 * (p * t).sum(-1) / DICE_SCALE
    total = (p.sum(-1) + t.sum(-1)) / DICE_SCALE
    return (1 - (overlap + DICE_EPS) / (total + DICE_EPS)).mean()


def mask_losses(masks: Tensor, visible: Tensor, target: Tensor, weights: LossWeights) -> dict[str, Tensor]:
    """Weighted losses of mask logits (k, t, h, w) and visibility logits (k, t) against (k, t, H, W).

    Mask logits are resized to the target's size first.
    """
    target = target.to(masks.dtype)
    logits = F.interpolate(masks, size=target.shape[-2:], mode="bilinear", align_corners=False)
    parts = {
        "bce": weights.bce * mask_bce(logits, target),
        "dice": weights.dice * mask_dice(logits, target),
    }
    if weights.visible > 0:
        seen = target.flatten(2).amax(-1)  # negative where nobody says
        loss = F.binary_cross_entropy_with_logits(visible, seen.clamp(min=0), reduction="none")
        parts["visible"] = weights.visible * (loss * (seen >= 0)).mean()
    return parts


def losses(outputs: Outputs, batch: Batch, weights: LossWeights) -> dict[str, Tensor]:
    """Weighted losses by kind and their sum ``total``."""
    parts = {"text": weights.text * text_loss(outputs.tokens, outputs.targets)}
    if len(outputs.masks):
        parts |= mask_losses(outputs.masks, outputs.visible, batch.masks, weights)
    parts["total"] = torch.stack(list(parts.values())).sum()
    return parts
