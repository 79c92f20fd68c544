"""The objective ``prompts``: the mask decoder obeys words of the captions' phrases, without a language model.

Prompts are learned vectors, one a word; several words add up. They are what the language model's [SEG]
states have to become, learned at a fraction of the cost. Keep the decoder's image side frozen where ``words``
taught it: within a few hundred steps it would forget what no prompt has asked for yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Sample
from grounding_core.training.config import TrainConfig
from grounding_core.training.items import VideoItems, annotated_frames, check_one_size, draw_frames
from grounding_core.training.losses import mask_losses
from grounding_core.training.objective import Objective
from grounding_core.training.vocabulary import (
    load_word_prompts,
    phrases,
    save_word_prompts,
    vocabulary_of,
    words_of,
)


@dataclass(frozen=True)
class Asked:
    """Frames of a video and what single words and whole phrases point at in them.

    Attributes:
        id: of its sample, for messages.
        frames: uint8 (t, H, W, 3).
        queries: k sets of indices of words.
        masks: uint8 (k, t, H, W): the objects whose phrases have all these words.
    """

    id: str
    frames: Tensor
    queries: list[list[int]]
    masks: Tensor


class AskedItems(VideoItems[Asked]):
    """Captioned videos, and frames of them that are drawn."""

    def __init__(self, groups: Sequence[Sequence[Sample]], config: TrainConfig, words: Sequence[str]) -> None:
        super().__init__(groups, config.seed)
        self.count = config.mask_frames
        self.index = {word: i for i, word in enumerate(words)}

    def load(self, index: int, rng: np.random.Generator) -> Asked:
        sample = self.groups[index][0]
        video, truth = sample.open_video(), sample.load_truth()
        described = phrases(truth.caption) if truth.caption is not None else {}
        known = {
            track.id: frozenset(
                self.index[word] for word in words_of(described[track.id]) if word in self.index
            )
            for track in truth.tracks
            if track.id in described
        }
        queries = {frozenset([word]) for words in known.values() for word in words}
        queries |= {words for words in known.values() if words}
        if not queries:
            raise DataError("its phrases have no known words.", "Leave it out.")
        indices = draw_frames(rng, annotated_frames([truth], len(video)), self.count)
        masks = {track.id: track.masks(indices) for track in truth.tracks if track.id in known}
        ordered = sorted(queries, key=sorted)
        targets = [
            np.any([mask for id, mask in masks.items() if query <= known[id]], axis=0) for query in ordered
        ]
        return Asked(
            sample.id,
            torch.from_numpy(video.frames(indices)),
            [sorted(query) for query in ordered],
            torch.from_numpy(np.stack(targets).astype(np.uint8)),
        )


class Prompts(Objective):
    """Mask losses of word prompts."""

    def prepare(self, groups: Sequence[Sequence[Sample]], initial: str | None) -> None:
        spec = self.model.plan.specs["mask_decoder"]
        self.shape = (spec.prompt_tokens, spec.prompt_width)
        found = load_word_prompts(initial)
        if found is None:
            self.words = vocabulary_of(groups).words
            self.vectors = nn.Embedding(len(self.words), spec.prompt_tokens * spec.prompt_width)
            nn.init.normal_(self.vectors.weight, std=0.3)
        else:
            self.words, vectors = found
            if vectors.shape[1] == spec.prompt_width:  # the objective `words` gives one token a word
                vectors = vectors.repeat(1, spec.prompt_tokens)
            self.vectors = nn.Embedding.from_pretrained(vectors, freeze=False)
        self.items = AskedItems(groups, self.config, self.words)

    def keep(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        save_word_prompts(self.words, weights["vectors.weight"], folder)

    def collate(self, items: Sequence[Asked]) -> list[Asked]:
        check_one_size(item.frames for item in items)
        return list(items)

    def forward(self, batch: Sequence[Asked]) -> dict[str, Tensor]:
        device = self.vectors.weight.device
        queries = [query for item in batch for query in item.queries]
        # At once: where weights are spread over processes, all have to ask for them as often.
        words = self.vectors(torch.tensor([word for query in queries for word in query], device=device))
        prompts = torch.stack([own.sum(0) for own in words.split([len(query) for query in queries])])
        owner = torch.tensor([i for i, item in enumerate(batch) for _ in item.queries], device=device)
        frames = torch.stack([item.frames for item in batch])
        masks, visible = self.model.mask_decoder(frames, prompts.view(-1, *self.shape), owner)
        target = torch.cat([item.masks for item in batch])
        found = mask_losses(masks, visible, target, self.config.losses)
        return {**found, "total": torch.stack(list(found.values())).sum()}
