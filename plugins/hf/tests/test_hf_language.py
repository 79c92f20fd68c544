"""Language models of transformers keep the contract of their role, whatever their attention."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import transformers
import yaml
from grounding_hf.chat_template import app, prompts_of
from grounding_hf.language import HfCausalLM, read_tokenizer
from typer.testing import CliRunner
from words import VOCABULARY, save_tokenizer

from grounding_core.errors import GroundingError
from grounding_core.testing import LanguageModelConformance

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": VOCABULARY + 1,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


class Family(LanguageModelConformance):
    name = "causal_lm"
    network: ClassVar[Mapping[str, Any]]

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        return {"network": {**SIZES, **cls.network}, "tokenizer": save_tokenizer(folder)}


class TestLlamaFromDisk(LanguageModelConformance):
    """The published form, end tokens in generation_config.json."""

    name = "causal_lm"

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        network = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
        network.generation_config.eos_token_id = [2, 5]
        network.save_pretrained(folder)
        return {"weights": save_tokenizer(folder)}

    def test_ends_and_starts_are_those_of_the_checkpoint(self, part: HfCausalLM) -> None:
        assert part.end_ids == {2, 5}
        assert part.start_ids == [1]


class TestPhi3(Family):
    network: ClassVar[Mapping[str, Any]] = {"model_type": "phi3", "sliding_window": 4}


class TestPhi4Mini(Family):
    """Phi-3's network with positions in a part of each head, and tied embeddings."""

    network: ClassVar[Mapping[str, Any]] = {
        "model_type": "phi3",
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.75},
        "tie_word_embeddings": True,
    }


class TestSmolLM2(Family):
    """Llama's network with tied embeddings."""

    network: ClassVar[Mapping[str, Any]] = {"model_type": "llama", "tie_word_embeddings": True}


class TestQwen2TiesItsEmbeddings(Family):
    network: ClassVar[Mapping[str, Any]] = {"model_type": "qwen2", "tie_word_embeddings": True}


class TestQwen3(Family):
    network: ClassVar[Mapping[str, Any]] = {"model_type": "qwen3", "head_dim": 16}


class TestSmolLM3(Family):
    network: ClassVar[Mapping[str, Any]] = {"model_type": "smollm3"}


class TestGemma2(Family):
    """Attention scores are capped too."""

    network: ClassVar[Mapping[str, Any]] = {
        "model_type": "gemma2",
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "sliding_window": 4,
        "layer_types": ["sliding_attention", "full_attention"],
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 5.0,
    }


class TestGemma3(Family):
    """One layer slides, the other sees everything."""

    network: ClassVar[Mapping[str, Any]] = {
        "model_type": "gemma3_text",
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "sliding_window": 4,
        "layer_types": ["sliding_attention", "full_attention"],
        "final_logit_softcapping": 5.0,
    }


def built(options: Mapping[str, Any]) -> HfCausalLM:
    return HfCausalLM(
        HfCausalLM.Config.model_validate(options), special_tokens=("[SEG]",), norm="after"
    ).eval()


def test_answers_are_those_of_transformers(tmp_path: Path) -> None:
    """Greedy decoding of Gemma 3, window and all, beside the network's own ``generate``."""
    folder = save_tokenizer(tmp_path)
    torch.manual_seed(0)
    lm = built({"network": {**SIZES, **TestGemma3.network}, "tokenizer": folder})
    prompt = lm.tokenize("what moves to the left of the cat ?")
    with torch.inference_mode():
        prefix = lm.prefix([[*lm.start_ids, *lm.tokenize("the dog is red .")]])
        ours = lm.generate(prefix, [prompt, prompt[:3]], max_new_tokens=12).ids[0]
        before = torch.tensor([[*lm.start_ids, *lm.tokenize("the dog is red ."), *prompt]])
        theirs = lm.network.generate(before, max_new_tokens=12, do_sample=False, eos_token_id=2)
    expected = theirs[0, before.shape[1] :].tolist()
    assert ours == [token for token in expected if token != 2]


def test_of_a_model_that_sees_only_the_text_part_is_read(tmp_path: Path) -> None:
    """Gemma 3's larger checkpoints hold a vision tower too."""
    text = {**SIZES, **{k: v for k, v in TestGemma3.network.items() if k != "model_type"}}
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    }
    found = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    whole = transformers.Gemma3ForConditionalGeneration(found)
    whole.save_pretrained(tmp_path)
    lm = built({"weights": save_tokenizer(tmp_path)})
    expected = whole.model.language_model.layers[0].mlp.up_proj.weight
    torch.testing.assert_close(lm.network.model.layers[0].mlp.up_proj.weight, expected)


def test_chat_template_becomes_prompts(tmp_path: Path) -> None:
    for starts in (True, False):
        source = save_tokenizer(tmp_path / str(starts), starts=starts)
        start = "" if starts else "<s>"
        found = prompts_of(read_tokenizer(source))
        assert found == {
            "layout": start + "<|user|>{visual}\n{question}<|end|><|assistant|>",
            "turn": "<|end|><|assistant|>{answer}<|end|><|user|>",
        }
    shown = CliRunner().invoke(app, [source, "--system", "Be brief."])
    assert shown.exit_code == 0
    (written,) = yaml.safe_load(shown.output).values()
    assert written == prompts_of(read_tokenizer(source), system="Be brief.")
    assert "<|system|>Be brief.<|end|><|user|>{visual}\n{question}" in written["layout"]


def test_a_tokenizer_without_template(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(save_tokenizer(tmp_path))
    tokenizer.chat_template = None
    with pytest.raises(GroundingError, match="no chat template"):
        prompts_of(tokenizer)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content | upper }}{% endfor %}"
    with pytest.raises(GroundingError, match="changes what a turn says"):
        prompts_of(tokenizer)


def test_layers_that_keep_another_state(tmp_path: Path) -> None:
    network = {
        **SIZES,
        "model_type": "qwen3_next",
        "head_dim": 16,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 1,
        "linear_num_value_heads": 1,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    }
    with pytest.raises(GroundingError, match="layers of kind linear_attention"):
        built({"network": network, "tokenizer": save_tokenizer(tmp_path)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": {"model_type": "llama"}}, "needs a `tokenizer`"),
        ({"network": {"model_type": "lama"}, "tokenizer": "x"}, "lama"),
        ({"network": {"model_type": "clip_vision_model"}, "tokenizer": "x"}, "no network of this kind"),
        ({"weights": "nobody/nothing"}, "nobody/nothing"),
        ({"weights": "/nowhere", "gguf_file": "model.gguf"}, "/nowhere has no model.gguf"),
    ],
)
def test_errors_name_what_is_wrong(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises((GroundingError, ValueError), match=message):
        built(options)
