"""A tiny Sa2VA in its published layout.

``published.json`` lists the keys and shapes that the published code has at these sizes; each weight follows
from its key, so that every run has the same ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).parent
MARKS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "[SEG]",
    "<p>",
    "</p>",
]
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
VOCABULARY = len(ALPHABET) + len(MARKS)
SIDE = 56
SALT = 1
"""Chosen so that the answers of the tests point at something."""

CONFIG: dict[str, Any] = {
    "architectures": ["Sa2VAChatModel"],
    "model_type": "sa2va_chat",
    "template": "qwen_chat",
    "force_image_size": SIDE,
    "downsample_ratio": 0.5,
    "ps_version": "v2",
    "select_layer": -1,
    "use_backbone_lora": 0,
    "use_llm_lora": 0,
    "vision_config": {
        "architectures": ["InternVisionModel"],
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 14,
        "qkv_bias": True,
        "qk_normalization": False,
        "norm_type": "layer_norm",
    },
    "llm_config": {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": True,
    },
    "sam2": {
        "image_size": 64,
        "image_encoder": {
            "trunk": {
                "embed_dim": 8,
                "num_heads": 1,
                "stages": [1, 1, 2, 1],
                "window_spec": [8, 4, 8, 4],
                "global_att_blocks": [3],
                "window_pos_embed_bkg_spatial_size": [3, 3],
            }
        },
        "memory_attention": {"d_model": 128, "num_layers": 1, "layer": {"dim_feedforward": 32}},
        "sam_mask_decoder": {"transformer_mlp_dim": 2048},
    },
}


def weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """A weight as its name and shape make it."""
    noise = np.random.default_rng([SALT, crc32(key.encode())]).standard_normal(shape)
    if len(shape) >= 2:
        noise *= 1.5 / np.sqrt(np.prod(shape[1:]))
    else:
        noise = 0.2 * noise + key.endswith("weight")
    if key == "language_model.lm_head.weight":  # it shall often ask for masks
        noise[len(ALPHABET) + MARKS.index("[SEG]")] *= 2
    return torch.from_numpy(noise.astype(np.float32))


def tokenizer() -> PreTrainedTokenizerFast:
    """A token a byte, and the marks."""
    vocabulary = {piece: i for i, piece in enumerate(ALPHABET)}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(mark, normalized=False) for mark in MARKS])
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def shapes() -> dict[str, tuple[int, ...]]:
    """Of all weights, by their published names."""
    listed = json.loads((HERE / "published.json").read_text(encoding="utf-8"))
    return {key: tuple(shape) for key, shape in listed.items()}


def save(folder: Path, **changes: Any) -> Path:
    """Write a folder as the hub has it; ``changes`` replace entries of its config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    save_file({key: weight(key, shape) for key, shape in shapes().items()}, folder / "model.safetensors")
    tokenizer().save_pretrained(folder)
    return folder


def frames(count: int, height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A clip (t, H, W, 3) of moving stripes."""
    t, y, x, c = np.ogrid[:count, :height, :width, :3]
    return ((3 * x + 5 * y + 23 * t + 60 * c + (x * y + 31 * t) // 40 * 9) % 256).astype(np.uint8)
