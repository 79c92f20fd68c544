"""Phi-3 through transformers (paper, section 3.1: Phi3-Mini-3.8B)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator
from torch import nn
from transformers import Phi3Config as HubConfig
from transformers import Phi3ForCausalLM, PreTrainedTokenizerFast

from grounding_core.causal import CausalLM
from grounding_core.hub import from_pretrained
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.language_model import Norm
from grounding_core.interfaces.specs import LanguageSpec
from grounding_core.precision import filled_later
from grounding_videoglamm.mimetic import make_matchers


class Phi3Config(ComponentConfig):
    """Sizes of the network; or ``weights``, which brings its own. Defaults: Phi-3-mini-4k-instruct."""

    weights: str | None = Field(
        default=None, description="Hub id or folder of a Phi-3 model; overrides the sizes below."
    )
    tokenizer: str = Field(
        default="microsoft/Phi-3-mini-4k-instruct", description="Hub id, or folder with tokenizer.json."
    )
    end_tokens: tuple[str, ...] = Field(
        default=(), description="Tokens that end an answer, besides the tokenizer's end token."
    )
    vocabulary: int = Field(
        default=32064, description="Rows of the embedding table; grows for new special tokens."
    )
    width: int = Field(default=3072, description="Width of the network.")
    mlp_width: int = Field(default=8192, description="Width of the MLPs.")
    layers: int = Field(default=32, description="Layers.")
    heads: int = Field(default=32, description="Attention heads.")
    kv_heads: int | None = Field(default=None, description="Key and value heads; null: as many as heads.")
    norm_eps: float = Field(default=1e-5, description="Epsilon of the norms.")
    rope_theta: float = Field(default=10000.0, description="Base of the rotary position encoding.")
    partial_rotary_factor: float = Field(
        default=1.0, gt=0, le=1, description="Share of a head's channels that positions turn."
    )
    context: int = Field(default=4096, description="Longest sequence in tokens.")
    sliding_window: int | None = Field(
        default=2047,
        description="Keys a token sees, itself included; null: all. The released reference sees 2048.",
    )
    init_std: float = Field(
        default=0.02, gt=0, description="Spread of random initial weights; a narrow network needs more."
    )
    init: Literal["normal", "mimetic"] = Field(
        default="normal",
        description="`mimetic`: heads begin as matchers of words with visual tokens, see "
        "`grounding_videoglamm.mimetic`; for training from nothing.",
    )
    dropout: float = Field(default=0.0, description="Dropout of attention and residuals, in training.")

    @model_validator(mode="after")
    def _check_heads(self) -> Phi3Config:
        if self.init == "mimetic" and self.kv_heads not in (None, self.heads):
            raise ValueError("init: mimetic needs as many key and value heads as heads; leave kv_heads out")
        return self


def _hub_config(config: Phi3Config) -> HubConfig:
    if config.weights is not None:
        return from_pretrained(HubConfig.from_pretrained, config.weights, what="Phi-3 weights")
    return HubConfig(
        vocab_size=config.vocabulary,
        hidden_size=config.width,
        intermediate_size=config.mlp_width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads or config.heads,
        rms_norm_eps=config.norm_eps,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": config.rope_theta,
            "partial_rotary_factor": config.partial_rotary_factor,
        },
        max_position_embeddings=config.context,
        original_max_position_embeddings=config.context,
        sliding_window=config.sliding_window,
        attention_dropout=config.dropout,
        resid_pdrop=config.dropout,
        initializer_range=config.init_std,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )


class Phi3(CausalLM):
    """Phi-3 with its own key-value cache; the prefix of a video is read once."""

    Config = Phi3Config

    def __init__(self, config: Phi3Config, *, special_tokens: Sequence[str], norm: Norm) -> None:
        hub = _hub_config(config)
        load = PreTrainedTokenizerFast.from_pretrained
        tokenizer = from_pretrained(load, config.tokenizer, what="Tokenizer", needs="tokenizer.json")
        if config.weights is not None:
            network = from_pretrained(Phi3ForCausalLM.from_pretrained, config.weights, what="Phi-3 weights")
        else:
            network = Phi3ForCausalLM(hub)
            if config.init == "mimetic" and not filled_later():
                make_matchers(network)
        super().__init__(
            config, network=network, tokenizer=tokenizer, special_tokens=special_tokens, norm=norm
        )
        self._end_tokens = frozenset(self.token_id(token) for token in config.end_tokens)

    @property
    def end_ids(self) -> frozenset[int]:
        return super().end_ids | self._end_tokens

    @classmethod
    def spec(cls, config: Phi3Config) -> LanguageSpec:
        hub = _hub_config(config)
        return LanguageSpec(width=hub.hidden_size, context=hub.max_position_embeddings)

    @classmethod
    def outline(cls, config: Phi3Config, *, special_tokens: Sequence[str], norm: Norm) -> nn.Module:
        outlined = nn.Module()
        outlined.network = Phi3ForCausalLM(_hub_config(config))
        return outlined
