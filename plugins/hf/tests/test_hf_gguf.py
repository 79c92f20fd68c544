"""A GGUF file as llama.cpp's own writer makes it holds the network's weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from grounding_hf.language import HfCausalLM
from transformers import LlamaConfig, LlamaForCausalLM
from words import VOCABULARY, save_tokenizer

gguf = pytest.importorskip("gguf")

WIDTH, HEADS, LAYERS, CONTEXT = 32, 2, 2, 128


def write(network: LlamaForCausalLM, file: Path) -> None:
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(48)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY + 1)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for key, value in network.state_dict().items():
        array = value.numpy()
        if key.endswith(("q_proj.weight", "k_proj.weight")):  # llama.cpp rotates neighbours, not halves
            array = array.reshape(HEADS, 2, -1, WIDTH).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight",)), np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_weights_are_those_of_the_file(tmp_path: Path) -> None:
    described = LlamaConfig(
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        vocab_size=VOCABULARY + 1,
        rms_norm_eps=1e-5,
    )
    network = LlamaForCausalLM(described)
    write(network, tmp_path / "tiny.gguf")
    tokenizer = save_tokenizer(tmp_path / "tokenizer")
    config = HfCausalLM.Config(weights=str(tmp_path), gguf_file="tiny.gguf", tokenizer=tokenizer)
    spec = HfCausalLM.spec(config)
    assert (spec.width, spec.context) == (WIDTH, CONTEXT)
    read = HfCausalLM(config, special_tokens=("[SEG]",), norm="after").network.state_dict()
    for key, value in network.state_dict().items():
        torch.testing.assert_close(read[key], value, msg=key)
