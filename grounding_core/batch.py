"""What a composed model is trained on, and what it gives then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """A training batch: b videos, n sequences, k objects.

    Attributes:
        clips: b tensors uint8 (t, H, W, 3), frames for the encoders; empty: the language model reads
            text only, and the decoder alone sees the video.
        mask_frames: uint8 (b, t, H, W, 3), frames for the mask loss.
        rows: (n,) the video each sequence asks about.
        ids: (n, s) right-padded token ids: question and answer.
        lengths: (n,) how many of them are real.
        learned: (n, s) True on the tokens of the answer.
        seg: (k, 2) sequence and position of the state behind each object's prompt.
        masks: (k, t, H, W) target masks on ``mask_frames``; negative pixels are ignored.
        visual: (b, m, dl) visual tokens of the videos, where they are known; they take the clips' place.
    """

    clips: Sequence[Tensor]
    mask_frames: Tensor
    rows: Tensor
    ids: Tensor
    lengths: Tensor
    learned: Tensor
    seg: Tensor
    masks: Tensor
    visual: Tensor | None = None

    def buckets(self) -> list[Tensor]:
        """Indices of short and of long sequences: read apart, where padding them together would cost more."""
        ordered, order = self.lengths.sort()
        count = len(ordered)
        padded = [int(i * ordered[max(i - 1, 0)] + (count - i) * ordered[-1]) for i in range(count)]
        split = min(range(count), key=padded.__getitem__)
        return [part for part in (order[:split], order[split:]) if len(part)]


@dataclass(frozen=True)
class Outputs:
    """What a training batch gives.

    Attributes:
        tokens: (w, vocabulary) logits of the w learned tokens of the batch.
        targets: (w,) their ids.
        prompts: (k, p, dp) mask prompts.
        masks: (k, t, h, w) mask logits; none where they were not asked for.
        visible: (k, t) visibility logits.
    """

    tokens: Tensor
    targets: Tensor
    prompts: Tensor
    masks: Tensor
    visible: Tensor
