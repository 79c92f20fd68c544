"""The converter of VideoGLaMM's published checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import yaml

from grounding_core.config import Recipe
from grounding_core.conversion import shapes_of
from grounding_core.errors import CheckpointError
from grounding_core.interfaces.converter import Converter, Extra, Facts, Shape, rename
from grounding_videoglamm.keys import IMAGE, SAM2, VIDEO_UNUSED, VIDEOGLAMM
from grounding_videoglamm.standin import numbered_tokenizer

EMBEDDING = "model.embed_tokens.weight"
MUST_BE: tuple[tuple[str, str, Any], ...] = (
    ("llm_config", "rope_scaling", None),
    ("llm_config", "tie_word_embeddings", False),
    ("llm_config", "mm_use_im_start_end", False),
    ("llm_config", "mm_projector_type", "mlp2x_gelu"),
    ("llm_config", "image_mm_projector_type", "mlp2x_gelu"),
    ("vision_tower_config", "tubelet_size", 1),
    ("vision_tower_config", "x_vis_return_idx", -2),
    ("sam2", "num_maskmem", 7),
    ("sam2", "max_obj_ptrs_in_encoder", 16),
    ("sam2", "non_overlap_masks_for_mem_enc", False),
    ("sam2", "max_cond_frames_in_attn", -1),
)
"""What our components take for granted: (section of config.json, field, value)."""


class VideoGlammConverter(Converter):
    """VideoGLaMM: Phi-3, CLIP, InternVideo2 and SAM 2 under the reference's names.

    A ``config.json`` with sections for the towers (as miniature checkpoints have) sets all sizes; a published
    one sets the language model's, and the towers are the published ones.
    """

    about = "VideoGLaMM's reference code"
    rules = VIDEOGLAMM
    extras: ClassVar[tuple[Extra, ...]] = (
        Extra(
            "clip",
            "CLIP ViT-L/14-336",
            (rename("vision_model.{x}", f"{IMAGE}{{x}}"),),
            ("text_model.{x}", "visual_projection.{x}", "text_projection.{x}", "logit_scale"),
            wins=True,
        ),
        Extra(
            "internvideo2",
            "InternVideo2-Stage2-1B-224p-f4",
            (
                rename("vision_encoder.{x}", "model.vision_tower.vision_encoder.{x}"),
                rename("vision_proj.{x}", "model.vision_tower.vision_proj.{x}"),
            ),
            ("text_encoder.{x}", "text_proj.{x}", "itm_head.{x}", "temp"),
            wins=True,
        ),
        Extra(
            "sam2",
            "SAM 2.0 hiera-large",
            (
                rename(
                    "memory_encoder.fuser.layers.{n}.gamma", f"{SAM2}memory_encoder.fuser.layers.{{n}}.weight"
                ),
                rename("{x}", f"{SAM2}{{x}}"),
            ),
        ),
    )

    def read(self, config: Mapping[str, Any], shapes: Mapping[str, Shape]) -> Facts:
        if EMBEDDING not in shapes or not any(key.startswith("model.text_hidden_fcs.") for key in shapes):
            raise CheckpointError(
                f"This is no VideoGLaMM checkpoint: {EMBEDDING} or model.text_hidden_fcs is missing.",
                "Name the folder that holds the merged weights.",
            )
        for section, field, value in MUST_BE:
            found = _section(config, section).get(field, value)
            if found != value:
                raise CheckpointError(
                    f"config.json: {section}.{field} is {found!r}; only {value!r} is supported.",
                    "It is a checkpoint of another model.",
                )
        recipe = _published()
        vocabulary = shapes[EMBEDDING][0]
        _language(recipe["language_model"], _section(config, "llm_config"), vocabulary)
        _towers(recipe, config)
        if "num_frames" in config:
            recipe["sampling"]["frames"] = config["num_frames"]
        if "generation" in config:
            recipe["generation"]["max_new_tokens"] = config["generation"]["max_new_tokens"]
        return Facts(recipe, (*VIDEO_UNUSED, *_unused(recipe, shapes)))

    def shapes(self, recipe: Mapping[str, Any]) -> Mapping[str, Shape]:
        language = recipe["language_model"]
        with TemporaryDirectory() as folder:  # shapes do not depend on words: any tokenizer will do
            size = language["vocabulary"]
            numbered_tokenizer(Path(folder), size, special={size - 1: recipe["seg"]["token"]}, end=1)
            language = {**language, "tokenizer": folder, "end_tokens": []}
            return shapes_of(Recipe.parse({**recipe, "language_model": language, "checkpoint": None}))


def _published() -> dict[str, Any]:
    text = files("grounding_videoglamm").joinpath("recipes/videoglamm.yaml").read_text(encoding="utf-8")
    recipe: dict[str, Any] = yaml.safe_load(text)
    return recipe


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section; the language model's fields may stand in the file itself, as in published checkpoints."""
    found: Mapping[str, Any] = config.get(name, config if name == "llm_config" else {})
    return found


def _take(part: dict[str, Any], section: Mapping[str, Any], names: Mapping[str, str]) -> None:
    for theirs, ours in names.items():
        if theirs in section:
            part[ours] = section[theirs]


def _language(part: dict[str, Any], section: Mapping[str, Any], vocabulary: int) -> None:
    names = {
        "hidden_size": "width",
        "intermediate_size": "mlp_width",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "num_key_value_heads": "kv_heads",
        "rms_norm_eps": "norm_eps",
        "rope_theta": "rope_theta",
        "max_position_embeddings": "context",
    }
    _take(part, section, names)
    if "sliding_window" in section:
        window = section["sliding_window"]
        # The release behind the weights let a token see one key more than transformers does today.
        part["sliding_window"] = None if window is None else window + 1
    part["vocabulary"] = vocabulary
    part["tokenizer"] = "./"


def _towers(recipe: dict[str, Any], config: Mapping[str, Any]) -> None:
    clip = _section(config, "image_vision_tower_config")
    names = {
        "hidden_size": "width",
        "intermediate_size": "mlp_width",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "image_size": "image_size",
        "patch_size": "patch_size",
        "hidden_act": "activation",
        "select_layer": "select_layer",
    }
    _take(recipe["image_encoder"], clip, names)
    video = _section(config, "vision_tower_config")
    names = {
        "embed_dim": "width",
        "num_heads": "heads",
        "mlp_ratio": "mlp_ratio",
        "img_size": "image_size",
        "patch_size": "patch_size",
        "num_frames": "frames",
    }
    _take(recipe["video_encoder"], video, names)
    if "depth" in video:
        recipe["video_encoder"]["layers"] = video["depth"] - 1
    pooling = _section(config, "pooling")
    _take(recipe["image_adapter"], pooling, {"image_tokens_to": "grid"})
    _take(recipe["video_adapter"], pooling, {"video_tokens_to": "grid"})
    recipe["mask_decoder"] |= sam2_options(config)


def sam2_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the decoder from a section ``sam2``; none without one, which means hiera-large."""
    sam2 = _section(config, "sam2")
    if not sam2:
        return {}
    trunk, memory = sam2["image_encoder"]["trunk"], sam2["memory_attention"]
    part: dict[str, Any] = {
        "image_size": sam2["image_size"],
        "width": memory["d_model"],
        "mlp_width": sam2["sam_mask_decoder"]["transformer_mlp_dim"],
        "memory_layers": memory["num_layers"],
        "memory_mlp_width": memory["layer"]["dim_feedforward"],
        "version": "2.1" if sam2.get("add_tpos_enc_to_obj_ptrs") else "2.0",
    }
    names = {
        "embed_dim": "trunk_width",
        "num_heads": "trunk_heads",
        "stages": "stages",
        "window_spec": "windows",
        "global_att_blocks": "global_blocks",
        "window_pos_embed_bkg_spatial_size": "background",
    }
    _take(part, trunk, names)
    return part


def _unused(recipe: Mapping[str, Any], shapes: Mapping[str, Shape]) -> tuple[str, ...]:
    """Layers behind the ones that are read, and buffers of older releases."""
    config = recipe["image_encoder"]
    kept = config.get("layers", 24) + 1 + config.get("select_layer", -2)
    video = recipe["video_encoder"].get("layers", 39)
    return (
        f"{IMAGE}encoder.layers.{kept}.{{x}}",
        f"{IMAGE}post_layernorm.{{x}}",
        f"{IMAGE}embeddings.position_ids",
        f"model.vision_tower.vision_encoder.blocks.{video}.{{x}}",
        "model.layers.{n}.self_attn.rotary_emb.inv_freq",
    )
