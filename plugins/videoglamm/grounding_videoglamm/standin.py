"""A tokenizer of numbered words, for checkpoints that come without one (tests, golden numbers)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def numbered_tokenizer(
    folder: Path,
    size: int,
    *,
    special: Mapping[int, str],
    start: int | None = None,
    end: int | None = None,
) -> None:
    """Write a tokenizer in which the text ``"w7 w12"`` is the ids 7 and 12.

    Args:
        folder: where; must exist.
        size: of the vocabulary.
        special: ids that are tokens of their own, such as ``[SEG]``.
        start: id that begins a sequence.
        end: id that ends an answer.
    """
    # Special tokens are found inside words too: none of them may be the beginning of a number.
    own = {0: "<0>", start: f"<{start}>", end: f"<{end}>"} | dict(special)
    names = [own.get(index, f"w{index}") for index in range(size)]
    words = {word: index for index, word in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=names[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = {"bos_token": start, "eos_token": end}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=names[0],
        **{name: names[index] for name, index in ends.items() if index is not None},
    ).save_pretrained(folder)
