"""The objective ``words``: encoders learn to name what is where, before anything is answered.

Published models start from encoders that others have trained on images with text. A model trained from
nothing has none; this is its substitute. A linear head on the features of each place predicts the words with
which captions describe the object there (words as weak labels: Joulin et al., arXiv 1511.02251).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grounding_core.errors import DataError, GroundingError
from grounding_core.interfaces.dataset import Sample
from grounding_core.model import GroundingModel
from grounding_core.training.config import TrainConfig
from grounding_core.training.items import VideoItems, annotated_frames, check_one_size
from grounding_core.training.objective import Objective
from grounding_core.training.vocabulary import Vocabulary, clauses, save_word_prompts, vocabulary_of
from grounding_core.video import sample_indices

PROMPT_SPREAD = 0.3
"""Root mean square of a word's first prompt."""


@dataclass(frozen=True)
class Described:
    """A captioned video.

    Attributes:
        id: of its sample, for messages.
        frames: uint8 (t, H, W, 3), for the encoders.
        masks: (k, t, H, W) of the objects.
        names: (k, v) how much each word of the vocabulary says what each object is: the words of its phrases;
            a row adds up to 1, or to 0 where there are none.
        deeds: (k, v) likewise what else its clauses say: what it does.
        single: (s,) indices of frames for parts that see each frame by itself, annotated ones first.
        known: (t,) float, 1 for frames that are annotated, 0 for others.
    """

    id: str
    frames: Tensor
    masks: Tensor
    names: Tensor
    deeds: Tensor
    single: Tensor
    known: Tensor


class DescribedItems(VideoItems[Described]):
    """Captioned videos, and single frames of them that are drawn."""

    def __init__(
        self,
        groups: Sequence[Sequence[Sample]],
        model: GroundingModel,
        config: TrainConfig,
        words: Vocabulary,
    ) -> None:
        super().__init__(groups, config.seed)
        self.frames, self.config, self.vocabulary = model.sampling.frames, config, words

    def load(self, index: int, rng: np.random.Generator) -> Described:
        sample = self.groups[index][0]
        video, truth = sample.open_video(), sample.load_truth()
        indices = sample_indices(len(video), self.frames)
        said = clauses(truth.caption) if truth.caption is not None else {}
        tracks = [track for track in truth.tracks if track.id in said]
        if not tracks:
            raise DataError("its caption points at no object.", "Leave it out.")
        names, deeds = (
            torch.stack([self.vocabulary.target(said[track.id][part]) for track in tracks]) for part in (0, 1)
        )
        known = np.isin(indices, annotated_frames([truth], len(video)))
        order = rng.permutation(len(indices))
        order = order[np.argsort(~known[order], kind="stable")]
        return Described(
            sample.id,
            torch.from_numpy(video.frames(indices)),
            torch.from_numpy(np.stack([track.masks(indices) for track in tracks]).astype(np.uint8)),
            names,
            deeds,
            torch.from_numpy(np.resize(order, self.config.mask_frames)),
            torch.from_numpy(known).float(),
        )


class Words(Objective):
    """A linear head on every part that has features of places; one loss each."""

    def prepare(self, groups: Sequence[Sequence[Sample]], initial: str | None) -> None:
        self.vocabulary = vocabulary = vocabulary_of(groups)
        self.items = DescribedItems(groups, self.model, self.config, vocabulary)
        widths: dict[str, int] = {}
        for role in ("image_encoder", "video_encoder"):
            spec = self.model.plan.specs.get(role)
            if spec is not None and spec.grid is not None:
                widths[role] = spec.width
        if self.model.mask_decoder.has_image_map:
            widths["mask_decoder"] = self.model.plan.specs["mask_decoder"].prompt_width
        trained = {
            role for role in widths if any(p.requires_grad for p in getattr(self.model, role).parameters())
        }
        if not trained:
            raise GroundingError(
                "No trained part has features of places.", "Thaw an encoder, or leave this stage out."
            )
        self.heads = nn.ModuleDict({r: nn.Linear(widths[r], len(vocabulary.words)) for r in sorted(trained)})

    def keep(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """The mask decoder's head, for the objective ``prompts``: a word's weights look like its features."""
        if "mask_decoder" in self.heads:
            weight = weights["heads.mask_decoder.weight"]
            spread = weight - weight.mean(0)
            unit = spread / spread.norm(dim=1, keepdim=True).clamp(min=1e-6)
            save_word_prompts(self.vocabulary.words, PROMPT_SPREAD * weight.shape[1] ** 0.5 * unit, folder)

    def collate(self, items: Sequence[Described]) -> list[Described]:
        if "mask_decoder" in self.heads:
            check_one_size(item.frames for item in items)
        return list(items)

    def forward(self, batch: Sequence[Described]) -> dict[str, Tensor]:
        found = {role: self._loss(role, batch) for role in self.heads}
        return {**found, "total": torch.stack(list(found.values())).sum()}

    def _loss(self, role: str, batch: Sequence[Described]) -> Tensor:
        """Cross-entropy of the words at each place, weighted by how much of it objects cover.

        A single frame shows what a thing is; what it does is the video encoder's to learn.
        """
        part, masks = getattr(self.model, role), [item.masks for item in batch]
        words = [item.deeds if role == "video_encoder" else item.names for item in batch]
        if role == "video_encoder":
            features, grid = part([item.frames for item in batch]), self.model.plan.specs[role].grid
        else:
            masks = [item.masks[:, item.single] for item in batch]
            frames = [item.frames[item.single] for item in batch]
            if role == "image_encoder":
                features, grid = part(frames), self.model.plan.specs[role].grid
            else:
                maps = part.image_map(torch.cat(frames))
                features = maps.flatten(2).transpose(1, 2).unflatten(0, (len(frames), -1))
                grid = maps.shape[-2:]
        shape = (features.shape[1], *grid)
        cover = [F.adaptive_avg_pool3d(mask.float(), shape).flatten(1) for mask in masks]
        target = torch.stack([own.T @ row for own, row in zip(cover, words, strict=True)])
        logits = self.heads[role](features.flatten(1, 2)).float()
        loss: Tensor = -(target * logits.log_softmax(-1)).sum() / target.sum().clamp(min=1)
        return loss
