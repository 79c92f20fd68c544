"""The language model inside Sa2VA, its tokenizer, and the words around a question."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from grounding_core.causal import CausalLM
from grounding_core.config import QUESTION, VISUAL
from grounding_core.errors import CheckpointError
from grounding_core.hub import from_pretrained
from grounding_core.interfaces.specs import LanguageSpec
from grounding_core.tensors import open_tensors
from grounding_sa2va.layout import Layout

SEG = "[SEG]"
BEGIN, END = "<img>", "</img>"
BETWEEN = f"{END}\n{BEGIN}"
ANSWER = "{answer}"


class Turns(NamedTuple):
    """What stands before a question, between it and its answer, and what ends an answer."""

    user: str
    assistant: str
    ends: tuple[str, ...]


_CHATML = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
TURNS = {
    "qwen_chat": Turns(*_CHATML, ("<|im_end|>", "<|endoftext|>")),
    "internlm2_chat": Turns(*_CHATML, ("<|im_end|>",)),
    "phi3_chat": Turns("<|user|>\n", "<|end|>\n<|assistant|>\n", ("<|end|>",)),
    "llama3_chat": Turns(
        "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ("<|eot_id|>",),
    ),
}
"""By the name that config.json gives; XTuner's templates, which Sa2VA is trained with."""


def turns_of(layout: Layout) -> Turns:
    """The template of a checkpoint.

    Raises:
        CheckpointError: it is unknown here.
    """
    name = layout.template.replace("-", "_")
    if name not in TURNS:
        raise CheckpointError(
            f"Sa2VA's template {layout.template!r} is unknown here.", f"Known are {', '.join(TURNS)}."
        )
    return TURNS[name]


def layout_of(layout: Layout) -> dict[str, str]:
    """``layout`` and ``turn`` of a recipe's prompts."""
    user, assistant, ends = turns_of(layout)
    return {
        "layout": f"{user}{BEGIN}{VISUAL}{END}\n{QUESTION}{assistant}",
        "turn": f"{assistant}{ANSWER}{ends[0]}\n{user}",
    }


class Language(CausalLM):
    """The causal language model that config.json describes, and the folder's tokenizer."""

    def __init__(self, layout: Layout, folder: Path) -> None:
        network = _network(layout, folder)
        tokenizer = from_pretrained(
            AutoTokenizer.from_pretrained,
            str(folder),
            what="Sa2VA's tokenizer",
            needs="tokenizer_config.json",
            config=network.config,  # else it looks at the folder's own, which transformers does not know
        )
        known = tokenizer.get_vocab()
        lacking = [token for token in (SEG, BEGIN, END) if token not in known]
        if lacking:
            raise CheckpointError(
                f"Sa2VA's tokenizer in {folder} has no {', '.join(lacking)}.", "Use the checkpoint's own."
            )
        super().__init__(None, network=network, tokenizer=tokenizer, special_tokens=(SEG,), norm="after")
        self._ends = frozenset(known[token] for token in turns_of(layout).ends if token in known)
        # The tokenizer's own start of a sequence: many name a start token that they never write.
        marks = tokenizer("")["input_ids"]
        self._start = [int(index) for index in marks if index != tokenizer.eos_token_id]

    @classmethod
    def spec(cls, config: Layout) -> LanguageSpec:
        """See `grounding_core.interfaces.language_model.LanguageModel.spec`."""
        found = described(config)
        return LanguageSpec(width=found.hidden_size, context=found.max_position_embeddings)

    @property
    def start_ids(self) -> list[int]:
        return list(self._start)

    @property
    def end_ids(self) -> frozenset[int]:
        return super().end_ids | self._ends


def described(layout: Layout) -> Any:
    """The language model's config in transformers.

    Raises:
        CheckpointError: transformers has no such model, or its options are impossible.
    """
    options = dict(layout.llm_config)
    kind = options.pop("model_type", None)
    try:
        found = AutoConfig.for_model(kind, **options)
        MODEL_FOR_CAUSAL_LM_MAPPING[type(found)]
    except (KeyError, ValueError, TypeError, StrictDataclassError) as error:
        raise CheckpointError(
            f"Sa2VA's language model is {kind!r}, which can't be made: {str(error).splitlines()[0]}",
            "Those on Qwen 2.5, Qwen 3, Llama and Phi-3 are read; those on InternLM 2 (8B, 26B) are not.",
        ) from error
    return found


def _network(layout: Layout, folder: Path) -> Any:
    found = described(layout)
    # Trained apart from the embeddings, the head is stored beside them, whatever the base model's file says.
    found.tie_word_embeddings = "language_model.lm_head.weight" not in open_tensors(folder)
    return MODEL_FOR_CAUSAL_LM_MAPPING[type(found)](found)
