"""The words with which captions describe objects, and prompts that stand for words."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from grounding_core.errors import CheckpointError, DataError
from grounding_core.interfaces.dataset import Sample
from grounding_core.types import GroundedText

FILE = "words.safetensors"
_WORD = re.compile(r"[^\W_]+")


def clauses(caption: GroundedText) -> dict[int, tuple[list[str], list[str]]]:
    """Track id -> the words of its phrases, and those that follow each up to the next phrase."""
    spans = sorted(caption.spans, key=lambda span: span.start)
    found: dict[int, tuple[list[str], list[str]]] = {}
    for span, after in zip(spans, [*spans[1:], None], strict=True):
        name = caption.text[span.start : span.end]
        rest = caption.text[span.end : after.start if after else None]
        for track in span.tracks:
            names, deeds = found.setdefault(track, ([], []))
            names += words_of([name])
            deeds += words_of([rest])
    return found


def phrases(caption: GroundedText) -> dict[int, list[str]]:
    """Track id -> its phrases."""
    found: dict[int, list[str]] = {}
    for span in caption.spans:
        for track in span.tracks:
            found.setdefault(track, []).append(caption.text[span.start : span.end])
    return found


def words_of(texts: Sequence[str]) -> list[str]:
    """The words of phrases, in lower case."""
    return [word for text in texts for word in _WORD.findall(text.lower())]


class Vocabulary:
    """Words of the captions, each with its weight: words that describe everything say nothing (idf)."""

    def __init__(self, captions: Sequence[GroundedText], *, least: int = 2) -> None:
        described = [{*names, *deeds} for caption in captions for names, deeds in clauses(caption).values()]
        counts = Counter(word for words in described for word in words)
        self.words = sorted(word for word, count in counts.items() if count >= least)
        self.index = {word: i for i, word in enumerate(self.words)}
        self.weights = torch.tensor([math.log(len(described) / counts[word]) for word in self.words])

    def target(self, words: Sequence[str]) -> Tensor:
        """Distribution (vocabulary,) over the words of a clause; zeros if it has none."""
        row = torch.zeros(len(self.words))
        known = [self.index[word] for word in set(words) if word in self.index]
        row[known] = self.weights[known]
        return row / row.sum().clamp(min=1e-6)


def vocabulary_of(groups: Sequence[Sequence[Sample]]) -> Vocabulary:
    """The words of the captions of videos; the first sample of each video is captioned.

    Raises:
        DataError: no word is said twice.
    """
    captions = [caption for group in groups if (caption := group[0].load_truth().caption) is not None]
    vocabulary = Vocabulary(captions)
    if not vocabulary.words:
        raise DataError("The captions have no words in common.", "Train on more captioned videos (gcg).")
    return vocabulary


def save_word_prompts(words: Sequence[str], prompts: Tensor, folder: Path) -> None:
    """Write prompts (v, dp) that stand for v words beside a checkpoint's weights, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{FILE}.{os.getpid()}"
    content = {"prompts": prompts.detach().float().cpu().contiguous().clone()}
    save_file(content, partial, metadata={"words": json.dumps(list(words))})
    os.replace(partial, folder / FILE)


def carry_word_prompts(source: str | None, folder: Path) -> None:
    """Copy the prompts of the checkpoint that a stage starts from, for later ones; what is there stays."""
    if source is not None and (Path(source) / FILE).is_file() and not (folder / FILE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(source) / FILE, folder / FILE)


def load_word_prompts(folder: str | Path | None) -> tuple[list[str], Tensor] | None:
    """Words and their prompts, as an earlier stage wrote them beside its weights; None if none did.

    Raises:
        CheckpointError: the file is damaged.
    """
    if folder is None or not (Path(folder) / FILE).is_file():
        return None
    try:
        with safe_open(Path(folder) / FILE, "pt") as handle:
            words = json.loads((handle.metadata() or {})["words"])
            return [str(word) for word in words], handle.get_tensor("prompts")
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{Path(folder) / FILE} is damaged: {error}.", "Run its stage again."
        ) from error
