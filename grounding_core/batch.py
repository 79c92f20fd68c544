"""What a composed model is trained on, and what it gives then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
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
        visual: b tensors (m, dl), visual tokens of the videos, where they are known; they take the clips'
            place.
        stills: of each of the b videos, whether it is a single image, which a model may encode in another
            way; empty: none is.
        together: whether all sequences are read in one go. Where processes share weights, all must ask for
            them equally often.
    """

    clips: Sequence[Tensor]
    mask_frames: Tensor
    rows: Tensor
    ids: Tensor
    lengths: Tensor
    learned: Tensor
    seg: Tensor
    masks: Tensor
    visual: Sequence[Tensor] = ()
    stills: Sequence[bool] = ()
    together: bool = False

    def kinds(self) -> list[tuple[Tensor, Batch]]:
        """Videos and single images apart: the indices of the objects in each, and its own batch."""
        if len(set(self.stills)) < 2:
            return [(torch.arange(len(self.seg)), self)]
        parts = []
        for kind in (False, True):
            chosen = [i for i, still in enumerate(self.stills) if still == kind]
            videos = torch.tensor(chosen, device=self.rows.device)
            sequences = torch.isin(self.rows, videos).nonzero()[:, 0]
            objects = torch.isin(self.seg[:, 0], sequences).nonzero()[:, 0]
            own = replace(
                self,
                clips=[self.clips[i] for i in chosen] if self.clips else [],
                visual=[self.visual[i] for i in chosen] if self.visual else [],
                stills=[kind] * len(chosen),
                mask_frames=self.mask_frames[videos],
                rows=torch.searchsorted(videos, self.rows[sequences]),
                ids=self.ids[sequences],
                lengths=self.lengths[sequences],
                learned=self.learned[sequences],
                seg=torch.stack(
                    [torch.searchsorted(sequences, self.seg[objects, 0]), self.seg[objects, 1]], dim=1
                ),
                masks=self.masks[objects] if len(self.masks) else self.masks,
            )
            parts.append((objects, own))
        return parts

    def buckets(self) -> list[Tensor]:
        """Indices of short and of long sequences: read apart, where padding them together would cost more."""
        ordered, order = self.lengths.sort()
        count = len(ordered)
        if self.together:
            return [order]
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
