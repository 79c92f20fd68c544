"""Any causal language model of transformers: Phi, Llama, Qwen, SmolLM, Gemma, ...; GGUF files too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator
from torch import nn
from transformers import AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from grounding_core.causal import CausalLM, check_family
from grounding_core.errors import CheckpointError
from grounding_core.hub import from_pretrained
from grounding_core.interfaces.language_model import Norm
from grounding_core.interfaces.specs import LanguageSpec
from grounding_hf.networks import NetworkConfig, class_of, described, load


class CausalLMConfig(NetworkConfig):
    """Where network and tokenizer come from."""

    tokenizer: str | None = Field(
        default=None, description="Hub id, or folder with tokenizer.json; null: where the weights are."
    )
    gguf_file: str | None = Field(
        default=None, description="Name of a GGUF file there; its weights are read as floating-point numbers."
    )
    end_tokens: tuple[str, ...] = Field(
        default=(), description="Tokens that end an answer, besides those the checkpoint names."
    )

    @model_validator(mode="after")
    def _has_tokenizer(self) -> CausalLMConfig:
        if self.weights is None and self.tokenizer is None:
            raise ValueError("a `network` without weights needs a `tokenizer`")
        if self.weights is None and self.gguf_file is not None:
            raise ValueError("`gguf_file` is the name of a file in `weights`")
        return self

    @property
    def file(self) -> dict[str, str]:
        """The argument of ``from_pretrained`` that names a GGUF file."""
        return {} if self.gguf_file is None else {"gguf_file": self.gguf_file}


class HfCausalLM(CausalLM):
    """A ``*ForCausalLM`` with its own key-value cache and the tokenizer of its checkpoint."""

    Config = CausalLMConfig

    def __init__(self, config: CausalLMConfig, *, special_tokens: Sequence[str], norm: Norm) -> None:
        whole = described(config, **config.file)
        found = whole.get_text_config()
        # Within a model that also sees, the language model's names begin with its own (Gemma 3).
        inside = {} if found is whole else {"key_mapping": {r"^language_model\.": ""}}
        network = load(
            class_of(found, MODEL_FOR_CAUSAL_LM_MAPPING),
            found,
            config,
            what="Language model weights",
            **config.file,
            **inside,
        )
        if config.tokenizer is not None:
            tokenizer = read_tokenizer(config.tokenizer)
        else:
            tokenizer = read_tokenizer(str(config.weights), **config.file)
        if tokenizer.eos_token_id is None:
            raise CheckpointError(
                f"The tokenizer of {config.tokenizer or config.weights} names no end token.",
                "Set `eos_token` in its tokenizer_config.json.",
            )
        super().__init__(
            config, network=network, tokenizer=tokenizer, special_tokens=special_tokens, norm=norm
        )
        named = getattr(network.generation_config, "eos_token_id", None)
        ends = [named] if isinstance(named, int) else list(named or ())
        self._end_ids = frozenset([*ends, *(self.token_id(token) for token in config.end_tokens)])
        # The tokenizer's own start of a sequence: many name a start token that they never write.
        marks = tokenizer("")["input_ids"]
        self._start_ids = [int(index) for index in marks if index != tokenizer.eos_token_id]

    @property
    def start_ids(self) -> list[int]:
        return list(self._start_ids)

    @property
    def end_ids(self) -> frozenset[int]:
        return super().end_ids | self._end_ids

    @classmethod
    def spec(cls, config: CausalLMConfig) -> LanguageSpec:
        found = _text(config)
        check_family(class_of(found, MODEL_FOR_CAUSAL_LM_MAPPING), found)
        return LanguageSpec(width=found.hidden_size, context=found.max_position_embeddings)

    @classmethod
    def outline(cls, config: CausalLMConfig, *, special_tokens: Sequence[str], norm: Norm) -> nn.Module:
        found = _text(config)
        outlined = nn.Module()
        outlined.network = class_of(found, MODEL_FOR_CAUSAL_LM_MAPPING)(found)
        return outlined


def _text(config: CausalLMConfig) -> Any:
    """The transformers config of the language model, also of one inside a model that sees (Gemma 3)."""
    return described(config, **config.file).get_text_config()


def read_tokenizer(source: str, **options: Any) -> Any:
    """A tokenizer by hub id or folder.

    Raises:
        CheckpointError: it can't be read.
    """
    needs = options.get("gguf_file") or "tokenizer_config.json"
    return from_pretrained(AutoTokenizer.from_pretrained, source, what="Tokenizer", needs=needs, **options)
