"""Tiny networks of the family with random weights, in the hub's layout, for tests and first tries."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertTokenizer,
    CLIPTokenizer,
    EdgeTamVideoConfig,
    EdgeTamVideoModel,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam3Config,
    Sam3Model,
    Sam3TrackerVideoConfig,
    Sam3TrackerVideoModel,
)

WIDTH = 128
MEMORY_WIDTH = 64  # fixed in the memory attention
SIDE = 64
SMALL_HEADS = {"hidden_size": WIDTH, "mlp_dim": 32, "iou_head_hidden_dim": 32}
MEMORY = {
    "initializer_range": 0.1,
    "memory_attention_hidden_size": WIDTH,
    "memory_attention_num_layers": 1,
    "memory_encoder_hidden_size": WIDTH,
    "memory_encoder_output_channels": MEMORY_WIDTH,
    "mask_downsampler_embed_dim": WIDTH,
    "memory_fuser_embed_dim": WIDTH,
    "memory_fuser_intermediate_dim": WIDTH,
}


def sam2(folder: Path) -> Path:
    """SAM 2.1 at 64 x 64 pixels."""
    grids = [[16, 16], [8, 8], [4, 4]]
    trunk = {
        "model_type": "sam2_hiera_det_model",
        "image_size": [SIDE, SIDE],
        "hidden_size": 8,
        "num_attention_heads": 1,
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [8, 4, 8, 4],
        "window_positional_embedding_background_size": [3, 3],
        "global_attention_blocks": [3],
        "initializer_range": 0.1,
    }
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": trunk,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": grids,
        "fpn_hidden_size": WIDTH,
        "initializer_range": 0.1,
    }
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": WIDTH, "image_size": SIDE},
        mask_decoder_config=SMALL_HEADS,
        image_size=SIDE,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[4, 4],
        **MEMORY,
    )
    return _save(Sam2VideoModel(config), folder)


def edgetam(folder: Path) -> Path:
    """EdgeTAM at 64 x 64 pixels, on the smallest RepViT there is with channels of its own."""
    config = EdgeTamVideoConfig(
        vision_config={
            "model_type": "edgetam_vision_model",
            "backbone_config": {
                "model_type": "timm_wrapper",
                "architecture": "repvit_m1",
                "num_classes": 2,
                "model_args": {
                    "in_chans": 3,
                    "features_only": True,
                    "out_indices": [0, 1, 2, 3],
                    "embed_dim": [8, 16, 16, 16],
                    "depth": [1, 1, 1, 1],
                },
            },
            "backbone_channel_list": [16, 16, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": WIDTH,
            "initializer_range": 0.1,
        },
        prompt_encoder_config={"hidden_size": WIDTH, "image_size": SIDE},
        mask_decoder_config=SMALL_HEADS,
        image_size=SIDE,
        memory_attention_mlp_hidden_size=32,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_attention_rope_k_sizes=[2, 2],
        perceiver_resampler_num_latents=4,
        perceiver_resampler_num_latents_2d=4,
        perceiver_resampler_hidden_size=MEMORY_WIDTH,
        perceiver_resampler_mlp_intermediate_size=32,
        perceiver_resampler_num_layers=1,
        **MEMORY,
    )
    return _save(EdgeTamVideoModel(config), folder)


def sam3_vision() -> dict[str, Any]:
    """SAM 3's image encoder at 56 x 56 pixels."""
    return {
        "model_type": "sam3_vision_model",
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 56,
            "pretrain_image_size": 28,
            "window_size": 2,
            "global_attn_indexes": [1],
            "initializer_range": 0.1,
        },
        "fpn_hidden_size": WIDTH,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "initializer_range": 0.1,
    }


def sam3_tracker_config() -> Sam3TrackerVideoConfig:
    """SAM 3's tracker at 56 x 56 pixels."""
    return Sam3TrackerVideoConfig(
        vision_config=sam3_vision(),
        prompt_encoder_config={"hidden_size": WIDTH, "image_size": 56},
        image_size=56,
        mask_decoder_config=SMALL_HEADS,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[4, 4],
        **MEMORY,
    )


def sam3(folder: Path) -> Path:
    """SAM 3's tracker alone."""
    return _save(Sam3TrackerVideoModel(sam3_tracker_config()), folder)


def sam3_detector(folder: Path) -> Path:
    """SAM 3's detector with a tokenizer of letters."""
    small = {"hidden_size": WIDTH, "num_attention_heads": 2}
    layers = {**small, "num_layers": 1, "intermediate_size": 32}
    letters = string.ascii_lowercase + string.digits + ".,?'"
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    end = len(pieces) - 1
    config = Sam3Config(
        vision_config=sam3_vision(),
        text_config={
            "model_type": "clip_text_model",
            "vocab_size": len(pieces),
            "hidden_size": 32,
            "intermediate_size": 32,
            "projection_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 32,
            "bos_token_id": end - 1,
            "eos_token_id": end,
            "pad_token_id": end,
        },
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config={**layers, "num_queries": 4},
        mask_decoder_config=small,
    )
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    return _save(Sam3Model(config), folder)


def grounding_dino(folder: Path) -> Path:
    """Grounding DINO with a tokenizer of letters; "." and "?" have the ids that the network knows them by."""
    pieces = [f"[unused{i}]" for i in range(1100)]
    known = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    letters = string.ascii_lowercase + string.digits
    known |= {200 + i: letter for i, letter in enumerate(letters)}
    known |= {300 + i: f"##{letter}" for i, letter in enumerate(letters)}
    for i, piece in known.items():
        pieces[i] = piece
    config = GroundingDinoConfig(
        backbone_config={
            "model_type": "swin",
            "embed_dim": 8,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 2, 2],
            "window_size": 2,
            "image_size": SIDE,
            "out_indices": [2, 3, 4],
        },
        text_config={
            "model_type": "bert",
            "vocab_size": len(pieces),
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
        d_model=64,  # a norm over 32 groups sees one cell of a small frame
        num_queries=4,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        max_text_len=64,
    )
    GroundingDinoImageProcessor(size={"shortest_edge": SIDE, "longest_edge": 96}).save_pretrained(folder)
    BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}).save_pretrained(folder)
    return _save(GroundingDinoForObjectDetection(config), folder)


def _save(network: Any, folder: Path) -> Path:
    """Weights large enough that prompts and memory change the masks."""
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "embedding" in name or "no_object" in name or name.endswith("latents_1d"):
                value.normal_(std=0.3)
    network.save_pretrained(folder)
    return folder
