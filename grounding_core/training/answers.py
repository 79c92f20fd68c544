"""The objectives ``answers`` and ``blind``: all questions about a video share its frames and its encoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from grounding_core.errors import CheckpointError, DataError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.interfaces.language_model import LanguageModel
from grounding_core.markup import render
from grounding_core.masks import MaskTrack
from grounding_core.model import Batch, GroundingModel
from grounding_core.training.config import TrainConfig
from grounding_core.training.items import VideoItems, annotated_frames, draw_frames
from grounding_core.training.losses import losses
from grounding_core.training.objective import Objective
from grounding_core.training.processes import SPREAD
from grounding_core.training.visual import VisualTokens, keep_visual_tokens
from grounding_core.training.vocabulary import (
    clauses,
    load_word_prompts,
    phrases,
    words_of,
)
from grounding_core.types import GroundedText, Query
from grounding_core.video import sample_indices

UNKNOWN = -1
"""Target of pixels that teach nothing: those that only pad a small frame to the batch's size, those that the
truth ignores, and frames that nobody annotated."""


@dataclass(frozen=True)
class Item:
    """One video with the questions chosen for it.

    Attributes:
        id: of its first sample, for messages.
        still: whether the video is a single image.
        clip: uint8 (t, H, W, 3), frames for the encoders; none where ``visual`` is given.
        visual: (m, dl), the visual tokens that the encoders gave, where they are kept.
        mask_frames: uint8 (tm, H, W, 3); (0, 1, 1, 3) where no loss looks at masks.
        turns: (query, answer markup, one track an object).
        masks: one int8 (tm, H, W) an object, in the order of the turns, UNKNOWN where nobody says; none where
            no loss looks at them.
        words: of each object likewise: those of its phrases in the video's captions; none where no caption
            names it.
        lookups: texts without a question, learned from their second token on.
    """

    id: str
    still: bool
    clip: Tensor
    visual: Tensor | None
    mask_frames: Tensor
    turns: list[tuple[Query, str]]
    masks: list[npt.NDArray[np.int8]]
    words: list[list[str]]
    lookups: list[str]


def answer_of(sample: Sample, truth: Truth, short_answer: str, seg_token: str) -> tuple[str, list[MaskTrack]]:
    """The answer to teach, in markup, and the track behind each seg token, in order.

    Raises:
        DataError: the sample has nothing to teach, or its phrases and tracks do not match.
    """
    if truth.caption is not None:
        by_id = {track.id: track for track in truth.tracks}
        text = render(truth.caption, seg=seg_token)
        tracks = [by_id[index] for span in truth.caption.spans for index in span.tracks]
    elif len(truth.tracks) == 1:
        text, tracks = short_answer, list(truth.tracks)
    else:
        raise DataError(
            f"Sample {sample.id} has {len(truth.tracks)} tracks and no caption.",
            "Train on data sets with one track a question, or with captions.",
        )
    if text.count(seg_token) != len(tracks):
        raise DataError(
            f"Sample {sample.id} has {text.count(seg_token)} mask tokens and {len(tracks)} tracks.",
            "Fix its phrases, or leave it out.",
        )
    return text, tracks


def target_of(track: MaskTrack, truth: Truth, indices: Sequence[int]) -> npt.NDArray[np.int8]:
    """A track's masks (tm, H, W) at these frames, UNKNOWN where the truth says nothing."""
    target = track.masks(indices).astype(np.int8)
    if truth.ignored is not None:
        target[truth.ignored.masks(indices)] = UNKNOWN
    if truth.annotated is not None:
        target[[index not in truth.annotated for index in indices]] = UNKNOWN
    return target


class AnswerItems(VideoItems[Item]):
    """Videos, each with questions and frames that are drawn.

    Attributes:
        kept: the videos' visual tokens, where they take the place of clips.
    """

    kept: VisualTokens | None = None

    def __init__(
        self, groups: Sequence[Sequence[Sample]], model: GroundingModel, config: TrainConfig
    ) -> None:
        super().__init__(groups, config.seed)
        self.config = config
        self.encoder_frames = model.sampling.frames
        self.prompts = model.prompts
        self.seg_token = model.seg.token

    def load(self, index: int, rng: np.random.Generator) -> Item:
        samples = self.groups[index]
        video = samples[0].open_video()
        captions = [i for i, sample in enumerate(samples) if sample.query.kind == "describe"]
        others = [i for i, sample in enumerate(samples) if sample.query.kind != "describe"]
        chosen = [*rng.permutation(captions), *rng.permutation(others)][: self.config.queries]
        truths = {i: samples[i].load_truth() for i in sorted({*captions, *map(int, chosen)})}
        known = annotated_frames((truths[int(i)] for i in chosen), len(video))
        mask_indices = draw_frames(rng, known, self.config.mask_frames)
        clip_indices = [] if self.kept else sample_indices(len(video), self.encoder_frames)
        seen = [*clip_indices, *(mask_indices if self.config.losses.masks else [])]
        frames = torch.from_numpy(video.frames(seen)) if seen else torch.zeros(0, 1, 1, 3, dtype=torch.uint8)
        clip, mask_frames = frames.split([len(clip_indices), len(frames) - len(clip_indices)])
        visual = self.kept.load(index) if self.kept else None
        turns, masks, words = [], [], []
        described = [truths[i] for i in captions]
        names = Names(described, mask_indices)
        for i in sorted(int(i) for i in chosen):
            truth = truths[i]
            name = names.phrase(truth.tracks) or samples[i].query.text
            text, tracks = answer_of(samples[i], truth, self.prompts.short_answer(name), self.seg_token)
            turns.append((samples[i].query, text))
            if self.config.losses.masks:
                masks += [target_of(track, truth, mask_indices) for track in tracks]
            words += [names.words(track) if self.config.losses.prompt > 0 else [] for track in tracks]
        said = [truth.caption for truth in described if truth.caption is not None]
        told = [lookup(said[i % len(said)], rng) for i in range(self.config.lookups if said else 0)]
        lookups = [text for text in told if text]
        return Item(samples[0].id, len(video) == 1, clip, visual, mask_frames, turns, masks, words, lookups)


def lookup(caption: GroundedText, rng: np.random.Generator) -> str:
    """What a caption says of each object and not of all of them, word by word in random order."""
    objects = [list(dict.fromkeys([*names, *deeds])) for names, deeds in clauses(caption).values()]
    shared = set.intersection(*map(set, objects)) if len(objects) > 1 else set()
    own = [[word for word in words if word not in shared] for words in objects]
    told = [" ".join(rng.permutation(own[i])) for i in rng.permutation(len(own)) if own[i]]
    return "".join(f" {words} ," for words in told)


class Names:
    """What the captions of a video call its objects.

    Tasks number objects apart: the masks tell which is which.
    """

    def __init__(self, captions: Sequence[Truth], indices: Sequence[int]) -> None:
        """Args:
        captions: the video's captions with their tracks.
        indices: frames by which a group of objects is told.
        """
        self.indices = indices
        self.tracks: list[tuple[MaskTrack, list[str]]] = []
        for truth in captions:
            if truth.caption is not None:
                said = phrases(truth.caption)
                self.tracks += [(track, said[track.id]) for track in truth.tracks if track.id in said]

    def phrase(self, tracks: Sequence[MaskTrack]) -> str:
        """The phrase that names a single object; empty if none does."""
        known = [said for track, said in self.tracks if len(tracks) == 1 and track.frames == tracks[0].frames]
        return known[0][0] if known else ""

    def words(self, track: MaskTrack) -> list[str]:
        """The words of an object's phrases; of several objects in one track, the words that they share."""
        for known, said in self.tracks:
            if known.frames == track.frames:
                return words_of(said)
        whole = track.masks(self.indices)
        shares = [
            set(words_of(said))
            for known, said in self.tracks
            if (own := known.masks(self.indices)).any() and not (own & ~whole).any()
        ]
        return sorted(set.intersection(*shares)) if shares else []


def collate(
    items: Sequence[Item], model: GroundingModel, *, blind: bool = False, together: bool = False
) -> Batch:
    """Items to a batch: tokenised, right-padded, learning the answers only.

    ``blind`` leaves the clips out; ``together``: see `Batch`.

    Frames for the masks are padded to the largest of the batch; what pads them teaches nothing.
    """
    lm: LanguageModel = model.language_model
    offset = -1 if model.seg.state == "predicting" else 0
    sequences: list[list[int]] = []
    learned: list[int] = []
    rows: list[int] = []
    seg: list[tuple[int, int]] = []
    for row, item in enumerate(items):
        for query, answer in item.turns:
            question = lm.tokenize(model.question(query))
            ids = [*question, *lm.tokenize(answer), lm.end_id]
            places = range(len(question), len(ids))
            seg += [(len(sequences), place + offset) for place in places if ids[place] == model.seg_id]
            sequences.append(ids)
            learned.append(len(question))
            rows.append(row)
        for text in item.lookups:
            sequences.append(lm.tokenize(text))
            learned.append(1)
            rows.append(row)
    longest = max(len(ids) for ids in sequences)
    padded = torch.full((len(sequences), longest), lm.end_id)
    taught = torch.zeros(padded.shape, dtype=torch.bool)
    for i, (ids, begin) in enumerate(zip(sequences, learned, strict=True)):
        padded[i, : len(ids)] = torch.tensor(ids)
        taught[i, begin : len(ids)] = True
    height, width = (max(item.mask_frames.shape[axis] for item in items) for axis in (1, 2))
    masks = [_padded(torch.from_numpy(mask), height, width, UNKNOWN) for item in items for mask in item.masks]
    frames = [
        _padded(item.mask_frames.permute(3, 0, 1, 2), height, width, 0).permute(1, 2, 3, 0) for item in items
    ]
    visual = [item.visual for item in items if item.visual is not None]
    return Batch(
        clips=[] if blind or visual else [item.clip for item in items],
        mask_frames=torch.stack(frames),
        rows=torch.tensor(rows),
        ids=padded,
        lengths=torch.tensor([len(ids) for ids in sequences]),
        learned=taught,
        seg=torch.tensor(seg, dtype=torch.long).reshape(-1, 2),
        masks=torch.stack(masks) if masks else torch.zeros((0, *frames[0].shape[:3])),
        visual=visual,
        together=together,
        stills=[item.still for item in items] if model.sampling.single_image == "image_branch" else (),
    )


def _padded(images: Tensor, height: int, width: int, value: int) -> Tensor:
    """Images (..., h, w) with rows below and columns to the right up to a size."""
    return F.pad(images, (0, width - images.shape[-1], 0, height - images.shape[-2]), value=value)


@dataclass(frozen=True)
class Taught:
    """A batch; the prompts (k, p or 1, dp) that words give its k objects, and whether (k,) any words do."""

    batch: Batch
    prompts: Tensor
    known: Tensor


class Answers(Objective):
    """Cross-entropy of the answers, the masks of their objects, and prompts like those of their words."""

    items: AnswerItems
    together = False

    def prepare(self, groups: Sequence[Sequence[Sample]], initial: str | None) -> None:
        self.items = AnswerItems(groups, self.model, self.config)
        self.initial = initial
        self.vocabulary: dict[str, int] = {}
        self.vectors = torch.zeros(0)
        if self.config.losses.prompt > 0:
            found = load_word_prompts(initial)
            if found is None:
                raise CheckpointError(
                    f"training.losses.prompt needs word prompts, and {initial} has none.",
                    "Put a stage with the objective `prompts` before this one, or set it to 0.",
                )
            words, self.vectors = found
            self.vocabulary = {word: i for i, word in enumerate(words)}

    def begin(self, accelerator: Accelerator, out: Path, console: Console) -> None:
        self.together = accelerator.distributed_type in SPREAD
        if self.config.keep_visual:
            self.items.kept = keep_visual_tokens(
                self.model, self.items.groups, self.config, self.initial, out, accelerator, console
            )

    def end(self) -> None:
        if self.items.kept is not None:
            self.items.kept.remove()

    def collate(self, items: Sequence[Item]) -> Taught:
        batch = collate(items, self.model, blind=self.config.objective == "blind", together=self.together)
        width = self.model.plan.specs["mask_decoder"].prompt_width
        vectors = self.vectors.unflatten(1, (-1, width)) if len(self.vectors) else torch.zeros(0, 1, width)
        sums, known = [], []
        for words in (words for item in items for words in item.words):
            rows = sorted({self.vocabulary[word] for word in words if word in self.vocabulary})
            sums.append(vectors[rows].sum(0))
            known.append(bool(rows))
        prompts = torch.stack(sums) if sums else torch.zeros(0, 1, width)
        return Taught(batch, prompts, torch.tensor(known, dtype=torch.bool))

    def ways(self, items: Sequence[Item]) -> frozenset[str]:
        if self.model.sampling.single_image == "as_video" or self.config.objective == "blind":
            return frozenset()
        return frozenset("an image" if item.still else "a video" for item in items)

    def forward(self, taught: Taught) -> dict[str, Tensor]:
        weights = self.config.losses
        outputs = self.model(taught.batch, masks=weights.masks)
        parts = losses(outputs, taught.batch, weights)
        if bool(taught.known.any()):
            apart = outputs.prompts[taught.known] - taught.prompts[taught.known]
            parts["prompt"] = weights.prompt * apart.square().mean()
            parts["total"] = parts["total"] + parts["prompt"]
        return parts
