"""What a mask decoder has learned of words: masks for the phrases of captions, without a language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.audit.misfits import phrases_of
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Sample
from grounding_core.model import GroundingModel
from grounding_core.training.vocabulary import load_word_prompts, words_of


@torch.inference_mode()
def phrase_ious(model: GroundingModel, checkpoint: Path, samples: Sequence[Sample]) -> dict[str, list[float]]:
    """IoU (over all frames at once) of the mask for each phrase that names one object, by sample.

    Args:
        model: its mask decoder is asked, with the prompts of a phrase's known words added up.
        checkpoint: where the objective ``prompts`` wrote these prompts.
        samples: captions with masks; phrases without a known word get no mask.

    Raises:
        DataError: no prompts are there.
    """
    found = load_word_prompts(checkpoint)
    if found is None:
        raise DataError(f"There are no word prompts in {checkpoint}.", "Train with the objective `prompts`.")
    words, vectors = found
    index = {word: place for place, word in enumerate(words)}
    decoder, spec = model.mask_decoder, model.plan.specs["mask_decoder"]
    ious: dict[str, list[float]] = {}
    for sample in samples:
        named = list(phrases_of(sample, sample.load_truth()))
        known = [[index[word] for word in words_of([phrase]) if word in index] for phrase, _ in named]
        asked = [place for place, ids in enumerate(known) if ids]
        both, either = np.zeros(len(named)), np.full(len(named), 1e-9)
        if asked:
            prompts = torch.stack([vectors[known[place]].sum(0) for place in asked])
            prompts = prompts.view(len(asked), spec.prompt_tokens, spec.prompt_width)
            for frame, logits in enumerate(decoder.track(decoder.open(sample.open_video()), prompts)):
                for place, mask in zip(asked, (logits > 0).numpy(), strict=True):
                    true = named[place][1].mask(frame)
                    both[place] += (mask & true).sum()
                    either[place] += (mask | true).sum()
        ious[sample.id] = (both / either).round(4).tolist()
    return ious


def interval(ious: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean difference of paired IoUs."""
    differences = np.subtract(ious, others)
    chosen = np.random.default_rng(0).integers(len(differences), size=(2000, len(differences)))
    low, high = np.percentile(differences[chosen].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)
