"""Questions about a video, told and taught, get what the network itself makes of the whole sequence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from test_hf_language import SIZES, built
from transformers import AutoConfig
from words import VOCABULARY, save_tokenizer

from grounding_core.compose import plan
from grounding_core.config import Recipe
from grounding_core.errors import GroundingError, RecipeError

HEADS: dict[str, Any] = {**SIZES, "num_attention_heads": 4, "num_key_value_heads": 4}
LATENT: dict[str, Any] = {
    **HEADS,
    "q_lora_rank": 16,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}
GPT_NEO: dict[str, Any] = {
    "model_type": "gpt_neo",
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 2,
    "window_size": 4,
    "vocab_size": VOCABULARY + 1,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXACT: dict[str, tuple[bool, dict[str, Any]]] = {
    "keys are shared": (True, {**SIZES, "model_type": "llama"}),
    "latent keys": (False, {**LATENT, "model_type": "deepseek_v3", "first_k_dense_replace": 2}),
    "latent keys, scaled head": (False, {**LATENT, "model_type": "minicpm3"}),
    "values are split": (False, {**HEADS, "model_type": "diffllama"}),
    "heads are repeated": (False, {**HEADS, "model_type": "jetmoe", "kv_channels": 16}),
    "divided logits": (True, {**SIZES, "model_type": "granite", "logits_scaling": 8.0}),
    "multiplied logits": (True, {**SIZES, "model_type": "cohere"}),
    "capped logits": (False, {**SIZES, "model_type": "gemma2", "head_dim": 16, "sliding_window": 64}),
    "a decoder two levels down": (True, {**HEADS, "model_type": "opt", "ffn_dim": 48}),
    "attention of its own": (False, {**GPT_NEO, "attention_types": [[["global"], 2]]}),
}
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "bloom": ("max_position_embeddings", {"hidden_size": 32, "n_layer": 1, "n_head": 2}),
    "mpt": ("max_position_embeddings", {"d_model": 32, "n_heads": 2, "n_layers": 1}),
    "falcon": ("alibi", {**HEADS, "alibi": True, "new_decoder_architecture": False}),
    "mamba": ("share", {"hidden_size": 32, "num_hidden_layers": 1}),
    "rwkv": ("no keys and values", {"hidden_size": 32, "num_hidden_layers": 2}),
    "gpt_neo": ("layers of kind local", {**GPT_NEO, "attention_types": [[["global", "local"], 1]]}),
}


def known(network: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a family, without those of SIZES that it has no word for."""
    found = AutoConfig.for_model(network["model_type"])
    return {name: value for name, value in network.items() if hasattr(found, name)}


@pytest.mark.parametrize("case", EXACT)
@torch.inference_mode()
def test_states_and_logits_are_the_networks_own(case: str, tmp_path: Path) -> None:
    shares, network = EXACT[case]
    torch.manual_seed(0)
    lm = built({"network": known(network), "tokenizer": save_tokenizer(tmp_path)})
    visual, head = torch.randn(2, 6, 32), [5, 6]
    questions = [[7, 8, 9, 10, 11, 12, 13], [14, 15]]

    def whole(video: int, ids: list[int]) -> Any:
        words = lm.network.get_input_embeddings()
        parts = [words(torch.tensor([head])), visual[video : video + 1], words(torch.tensor([ids]))]
        inputs = torch.cat(parts, 1)
        states = lm.network.get_decoder()(inputs_embeds=inputs, use_cache=False).last_hidden_state[0, 8:]
        return states, lm.network(inputs_embeds=inputs, use_cache=False).logits[0, 8:]

    told = [
        lm.generate(lm.prefix([head, visual[video : video + 1]]), questions, max_new_tokens=3)
        for video in (0, 1)
    ]
    for video, generation in enumerate(told):
        for question, ids, states in zip(questions, generation.ids, generation.states, strict=True):
            expected, logits = whole(video, [*question, *ids])
            first = len(question) - 1
            torch.testing.assert_close(states[: len(ids) + 1], expected[first:], rtol=1e-4, atol=1e-5)
            assert logits[first:-1].argmax(-1).tolist() == ids
    assert not torch.allclose(told[0].states[0][0], told[1].states[0][0], atol=1e-3)

    ids = torch.tensor([questions[0], [14, 15, 16, 17, 0, 0, 0]])
    learned = torch.zeros_like(ids, dtype=torch.bool)
    learned[0, 2:] = learned[1, 1:4] = True
    logits, states = lm.teach(lm.prefix([head, visual]), torch.tensor([1, 0]), ids, learned)
    rows = [whole(1, questions[0]), whole(0, [14, 15, 16, 17])]
    expected = torch.cat([rows[0][1][1:6], rows[1][1][:3]])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    for row, (seen, _) in enumerate(rows):
        torch.testing.assert_close(states[row, : len(seen)], seen, rtol=1e-4, atol=1e-5)

    if shares:
        lm.use_cuda_graphs()
    else:
        with pytest.raises(GroundingError, match="cache grows"):
            lm.use_cuda_graphs()


def test_a_prefix_that_attention_loses_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a later layer makes its keys anew, and the first does not."""
    monkeypatch.setattr("grounding_core.causal.passes_marks", lambda *_: True)
    lm = built({"network": known(EXACT["latent keys"][1]), "tokenizer": save_tokenizer(tmp_path)})
    prefix, ids = lm.prefix([[5, 6, 7]]), torch.tensor([[8, 9]])
    with pytest.raises(GroundingError, match="DeepseekV3ForCausalLM's attention lost the prefix"):
        lm.generate(prefix, [[8, 9]], max_new_tokens=2)
    with pytest.raises(GroundingError, match="DeepseekV3ForCausalLM's attention lost the prefix"):
        lm.teach(prefix, torch.tensor([0]), ids, torch.tensor([[False, True]]))


@pytest.mark.parametrize("kind", REFUSED)
def test_a_family_that_can_not_share_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    reason, options = REFUSED[kind]
    network = known({"model_type": kind, "vocab_size": VOCABULARY, **options})
    tokenizer = save_tokenizer(tmp_path)
    overrides = [
        "language_model.type=causal_lm",
        f"language_model.network={json.dumps(network)}",
        f"language_model.tokenizer={tokenizer}",
        "checkpoint=null",
    ]
    with pytest.raises(RecipeError, match=rf"language_model: \w+ \({kind}\).*{reason}.*such as Qwen"):
        plan(Recipe.load("videoglamm-tiny", overrides))
    with pytest.raises(GroundingError, match=rf"\({kind}\)"):
        built({"network": network, "tokenizer": tokenizer})
