"""A tokenizer of a few words with a chat template, as checkpoints on the hub have one."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = [
    "the",
    "cat",
    "what",
    "moves",
    "to",
    "left",
    "of",
    "dog",
    "a",
    "is",
    "it",
    "red",
    "blue",
    "and",
    ".",
    "?",
]
MARKS = ["<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|end|>"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
VOCABULARY = len(MARKS) + len(WORDS)


def save_tokenizer(folder: Path, *, starts: bool = True) -> str:
    """Write it; ``starts``: it begins every sequence with its start token."""
    words = {word: index for index, word in enumerate([*MARKS, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if starts:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", words["<s>"])]
        )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=MARKS[3:],
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return str(folder)
