"""A reference checkpoint with random weights, a few hundred kilobytes, in the published layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from grounding_videoglamm.convert import EMBEDDING, VideoGlammConverter
from torch import Tensor

TRUNK = {"embed_dim": 8, "num_heads": 1, "stages": [1, 1, 2, 1], "window_spec": [8, 4, 8, 4]}
TRUNK |= {"global_att_blocks": [3], "window_pos_embed_bkg_spatial_size": [3, 3]}
CONFIG: dict[str, Any] = {
    "num_frames": 4,
    "llm_config": {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 256,
        "sliding_window": 40,
    },
    "image_vision_tower_config": {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    },
    "vision_tower_config": {"embed_dim": 16, "depth": 3, "num_heads": 2, "mlp_ratio": 2.0, "img_size": 28},
    "pooling": {"image_tokens_to": [1, 1], "video_tokens_to": [1, 1]},
    "sam2": {
        "image_size": 64,
        "image_encoder": {"trunk": TRUNK},
        "memory_attention": {"d_model": 64, "num_layers": 1, "layer": {"dim_feedforward": 32}},
        "sam_mask_decoder": {"transformer_mlp_dim": 48},
    },
    "generation": {"max_new_tokens": 8},
}
SHAPES = {EMBEDDING: (40, 16), "model.text_hidden_fcs.0.0.weight": (16, 16)}
UNUSED = {
    "model.vision_tower.vision_proj.weight": (4, 16),
    "model.vision_tower.vision_encoder.blocks.2.norm1.weight": (16,),
    "model.image_vision_tower.vision_tower.vision_model.post_layernorm.weight": (16,),
}


def tensors() -> dict[str, Tensor]:
    """Random tensors under the reference's names."""
    converter = VideoGlammConverter()
    generator = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}
    for key, shape in converter.shapes(converter.read(CONFIG, SHAPES).recipe).items():
        move = converter.move(key, back=True)
        assert move is not None, key
        for part in move.theirs:
            own = (shape[0] // len(move.theirs), *shape[1:]) if len(move.theirs) > 1 else shape
            found[part] = torch.randn(own, generator=generator).half()
    return found | {key: torch.randn(shape, generator=generator).half() for key, shape in UNUSED.items()}


def write_config(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
