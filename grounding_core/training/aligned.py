"""The objective ``aligned``: visual tokens look like the language model's embeddings of the words for them.

What is asked and what is seen then meet in one space, and a language model that copies words from a question
can copy them from the video too. Published models reach this by training adapters on many captions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Sample
from grounding_core.training.objective import Objective
from grounding_core.training.vocabulary import vocabulary_of
from grounding_core.training.words import Described, DescribedItems

BRANCHES = ("image", "video")
BOTH = "both"
FIRST_SCALE = 16.0
"""Factor of the cosines at the start; learned. A token is near several words, so no cosine comes to 1."""
EMPTY = 0.05
"""Weight of a place where nothing is, which is to look like no word more than like another."""


class Aligned(Objective):
    """Cross-entropy of the words at each visual token, by its cosine with their embeddings.

    Two losses a branch: of the words, and of a token's length, which is to be an embedding's.
    """

    def prepare(self, groups: Sequence[Sequence[Sample]], initial: str | None) -> None:
        self.vocabulary = vocabulary_of(groups)
        self.items = DescribedItems(groups, self.model, self.config, self.vocabulary)
        self.grids: dict[str, tuple[int, int]] = {}
        for branch in BRANCHES:
            part = self.model.plan.parts.get(f"{branch}_adapter")
            adapter = getattr(self.model, f"{branch}_adapter")
            if part is None or not any(p.requires_grad for p in adapter.parameters()):
                continue
            grid = part.component.grid(part.config, self.model.plan.specs[f"{branch}_encoder"])
            if grid is not None:
                self.grids[branch] = grid
        if len(set(self.grids.values())) == 1 and self.model.sampling.fusion == "add":
            self.grids = {BOTH: next(iter(self.grids.values()))}
        if not self.grids:
            raise GroundingError(
                "No trained adapter has tokens of places.", "Thaw an adapter, or leave this stage out."
            )
        self.scale = nn.Parameter(torch.tensor([FIRST_SCALE]).log())  # FSDP takes no scalars
        self.pieces = [self.model.language_model.tokenize(f" {word}") for word in self.vocabulary.words]

    def collate(self, items: Sequence[Described]) -> list[Described]:
        return list(items)

    def forward(self, batch: Sequence[Described]) -> dict[str, Tensor]:
        table = self.model.language_model.embeddings().detach().float()
        words = F.normalize(torch.stack([table[ids].mean(0) for ids in self.pieces]), dim=1)
        length = table.norm(dim=1).mean()
        found: dict[str, Tensor] = {}
        for branch in self.grids:
            found[branch], lengths = self._loss(branch, words, batch)
            # By cosine alone a token may be any length; beside a long one, what a layer adds is nothing.
            found[f"{branch} length"] = (lengths / length).log().square().mean()
        return {**found, "total": torch.stack(list(found.values())).sum()}

    def _loss(self, branch: str, words: Tensor, batch: Sequence[Described]) -> tuple[Tensor, Tensor]:
        clips = [item.frames for item in batch]
        if branch == BOTH:
            tokens = self.model.visual_tokens(clips)
        else:
            encoder, adapter = (getattr(self.model, f"{branch}_{part}") for part in ("encoder", "adapter"))
            tokens = adapter(encoder(clips))
        rows, columns = self.grids[branch]
        shape = (tokens.shape[1] // (rows * columns), rows, columns)
        targets = []
        for item in batch:
            said = item.names if branch == "image" else (item.names + item.deeds) / 2
            cover = F.adaptive_avg_pool3d(item.masks.float(), shape).flatten(1)
            known = F.adaptive_avg_pool1d(item.known[None], shape[0])[0].repeat_interleave(rows * columns)
            empty = EMPTY * (known - cover.sum(0)).clamp(min=0) / len(words)
            targets.append(cover.T @ said + empty[:, None])
        target = torch.stack(targets)
        logits = self.scale.exp() * F.normalize(tokens.float(), dim=-1) @ words.T
        loss = -(target * logits.log_softmax(-1)).sum() / target.sum().clamp(min=1)
        return loss, tokens.float().norm(dim=-1).clamp(min=1e-6)
