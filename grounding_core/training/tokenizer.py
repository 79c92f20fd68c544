"""A small byte-level BPE tokenizer trained on a data set's own words; it can spell any text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END = "<|end|>"


def special_tokens(*texts: str) -> list[str]:
    """Tokens written as ``<|name|>`` in templates, the end token first."""
    found = dict.fromkeys(token for text in texts for token in re.findall(r"<\|\w+\|>", text))
    return list(dict.fromkeys([END, *found]))


def train_tokenizer(texts: Iterable[str], folder: Path, *, vocabulary: int, special: Sequence[str]) -> None:
    """Train and write ``tokenizer.json`` below a folder.

    Args:
        texts: questions and answers of the training data.
        folder: where to write, made if missing.
        vocabulary: most tokens, special ones included.
        special: tokens that are never split; the first ends an answer and pads.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[AddedToken(token, normalized=False, special=True) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=special[0], pad_token=special[0]
    ).save_pretrained(folder)
