"""A small byte-level BPE tokenizer trained on a data set's own words; it can spell any text."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from grounding_core.config import Prompts, Recipe
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Sample
from grounding_core.training.answers import answer_of

END = "<|end|>"
_FILES = ("tokenizer.json", "tokenizer_config.json")


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


def recipe_with_tokenizer(
    recipe: Recipe, samples: Sequence[Sample], folder: Path, *, vocabulary: int | None, initial: str | None
) -> Recipe:
    """The recipe with the tokenizer of a run.

    Args:
        recipe: a composed model.
        samples: all that the run teaches.
        folder: where the tokenizer goes, beside the weights; one that is there is taken.
        vocabulary: None keeps the recipe's own tokenizer.
        initial: checkpoint the run starts from; its tokenizer is taken if it has one.

    Raises:
        GroundingError: the one in the folder is another than that of ``initial``.
    """
    if vocabulary is None or recipe.language_model is None:
        return recipe
    assert recipe.prompts is not None and recipe.seg is not None
    own = folder / _FILES[0]
    source = None if initial is None else Path(initial) / _FILES[0]
    if source is not None and source.is_file():
        if not own.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            for file in _FILES:
                shutil.copyfile(source.parent / file, folder / file)
        elif own.read_bytes() != source.read_bytes():
            raise GroundingError(
                f"The tokenizer in {folder} is not that of {initial}: the run there began with another.",
                "Name another run folder, or delete this one.",
            )
    elif not own.is_file():
        texts = _texts(samples, recipe.prompts, recipe.seg.token)
        special = [*special_tokens(recipe.prompts.layout, recipe.prompts.turn), recipe.seg.token]
        train_tokenizer(texts, folder, vocabulary=vocabulary, special=special)
    part = recipe.language_model.model_copy()
    options = {**part.options, "tokenizer": str(folder)}
    return recipe.model_copy(update={"language_model": type(part)(type=part.type, **options)})


def _texts(samples: Sequence[Sample], prompts: Prompts, seg: str) -> Iterator[str]:
    """Questions and answers."""
    for sample in samples:
        yield prompts.question(sample.query.kind, sample.query.text)
    for sample in samples:
        answer, _ = answer_of(sample, sample.load_truth(), prompts.short_answer(sample.query.text), seg)
        yield answer.replace(seg, "")
