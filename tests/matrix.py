"""Every image encoder, language model family and mask decoder at tiny sizes, as overrides of one recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from grounding_sam import standin

from grounding_core.config import Recipe
from grounding_core.model import GroundingModel
from grounding_core.testing.mask_decoder import video
from grounding_core.testing.swap import one_step, random_model
from grounding_core.types import GroundedText, Query

RECIPE = "videoglamm-tiny"
FRAMES = 4
COMMON = (
    f"sampling.frames={FRAMES}",
    "video_encoder=null",
    "video_adapter=null",
    "image_adapter.grid=[2,2]",
    "generation.max_new_tokens=6",
    "checkpoint=null",
)
WEIGHTS = "WEIGHTS"
"""Stands for a folder with a random checkpoint in the hub's layout."""
TOKENIZER = "TOKENIZER"
"""Stands for a folder with the recipe's own tokenizer."""

_TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
_VISION = {**_TOWER, "image_size": 32, "patch_size": 16}
_VIT = {"embed_dim": 32, "depth": 1, "num_heads": 2}
_CONV = {"dims": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}

Part = tuple[str, Mapping[str, Any]]
"""A component's name, and its options."""

ENCODERS: Mapping[str, Part] = {
    "CLIP": (
        "clip",
        {
            "image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "heads": 2, "mlp_width": 48,
            "select_layer": -1,
        },
    ),
    "CLIP (transformers)": ("hf_image", {"network": {"model_type": "clip_vision_model", **_VISION}}),
    "SigLIP 2": (
        "hf_image",
        {"network": {"model_type": "siglip2_vision_model", **_TOWER, "patch_size": 16, "num_patches": 4}},
    ),
    "DINOv3": ("hf_image", {"network": {"model_type": "dinov3_vit", **_VISION, "num_register_tokens": 4}}),
    "DINOv2 (timm)": (
        "timm",
        {"model": "vit_small_patch14_reg4_dinov2", "pretrained": False, "image_size": 28, "arguments": _VIT},
    ),
    "ConvNeXt (timm)": (
        "timm",
        {"model": "convnext_atto", "pretrained": False, "image_size": 64, "arguments": _CONV},
    ),
    "CLIP (open_clip)": ("open_clip", {"model": WEIGHTS}),
}  # fmt: skip

_LM = {
    **_TOWER,
    "vocab_size": 1024,
    "num_key_value_heads": 1,
    "max_position_embeddings": 256,
    "initializer_range": 0.1,
}
_TOKENS = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": 0}
_HEAD = {"head_dim": 16}
_GEMMA = {**_HEAD, "query_pre_attn_scalar": 16, "sliding_window": 8, "final_logit_softcapping": 5.0}
_GEMMA |= {"num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"]}


def _causal(kind: str, **options: Any) -> Part:
    network = {"model_type": kind, **_LM, **_TOKENS, **options}
    return "causal_lm", {"network": network, "tokenizer": TOKENIZER}


LANGUAGE_MODELS: Mapping[str, Part] = {
    "phi3": (
        "phi3",
        {
            "tokenizer": TOKENIZER, "vocabulary": 1024, "width": 32, "mlp_width": 48, "layers": 1,
            "heads": 2, "context": 256, "sliding_window": None, "init_std": 0.1,
        },
    ),
    "Phi-3/4": _causal("phi3", sliding_window=8),
    "Llama": _causal("llama"),
    "Qwen 2.5": _causal("qwen2", tie_word_embeddings=True),
    "Qwen 3": _causal("qwen3", **_HEAD),
    "SmolLM 2": _causal("llama", tie_word_embeddings=True),
    "SmolLM 3": _causal("smollm3"),
    "Gemma 2": _causal("gemma2", **{**_GEMMA, "attn_logit_softcapping": 5.0}),
    "Gemma 3": _causal("gemma3_text", **_GEMMA),
}  # fmt: skip

_SAM1 = {
    "encoder_width": 16, "encoder_depth": 1, "encoder_heads": 1, "global_blocks": [0], "window": 2,
    "image_size": 64, "width": 32, "mlp_width": 32,
}  # fmt: skip
_SAM2 = {
    "mode": "memory", "image_size": 64, "trunk_width": 8, "trunk_heads": 1, "stages": [1, 1, 2, 1],
    "windows": [8, 4, 4, 4], "global_blocks": [3], "background": [3, 3], "width": 128, "mlp_width": 64,
    "memory_layers": 1, "init_std": 0.1, "stability_fallback": False,
}  # fmt: skip

DECODERS: Mapping[str, Part] = {
    "SAM": ("sam1", {"model": _SAM1, "carry": True}),
    "SAM 2": ("sam2", _SAM2),
    "SAM 2.1": ("sam2", {**_SAM2, "version": "2.1"}),
    "EdgeTAM": ("edgetam", {"mode": "memory", "weights": WEIGHTS}),
    "SAM 3": ("sam3", {"mode": "memory", "weights": WEIGHTS}),
}
ROLES: Mapping[str, Mapping[str, Part]] = {
    "image_encoder": ENCODERS,
    "language_model": LANGUAGE_MODELS,
    "mask_decoder": DECODERS,
}
Choice = tuple[str, str, str]
"""Names of an encoder, a language model and a decoder."""


def everything() -> list[Choice]:
    """The whole matrix."""
    return list(product(ENCODERS, LANGUAGE_MODELS, DECODERS))


def pairwise() -> list[Choice]:
    """As few combinations as hold every pair of parts."""
    decoders = list(DECODERS)
    pairs = product(enumerate(ENCODERS), enumerate(LANGUAGE_MODELS))
    return [(encoder, model, decoders[(i + j) % len(decoders)]) for (i, encoder), (j, model) in pairs]


def overrides(choice: Choice, weights: Mapping[str, Path]) -> list[str]:
    """What ``--set`` gets."""
    own = Recipe.load(RECIPE).language_model
    assert own is not None
    chosen = list(COMMON)
    for (role, parts), name in zip(ROLES.items(), choice, strict=True):
        folders = {WEIGHTS: str(weights.get(name)), TOKENIZER: own.options["tokenizer"]}
        chosen += part_overrides(role, parts[name], folders)
    return chosen


def part_overrides(role: str, part: Part, folders: Mapping[str, str]) -> Iterator[str]:
    """One part's ``--set``, with folders in place of what stands for them."""
    kind, options = part
    yield f"{role}.type={kind}"
    for option, value in options.items():
        named = value in (WEIGHTS, TOKENIZER)
        yield f"{role}.{option}={folders.get(value, value) if named else json.dumps(value)}"


def save_weights(folder: Path) -> dict[str, Path]:
    """Checkpoints of the parts that come with weights only."""
    torch.manual_seed(0)
    return {
        "EdgeTAM": standin.edgetam(folder / "edgetam"),
        "SAM 3": standin.sam3(folder / "sam3"),
        "CLIP (open_clip)": _open_clip(folder / "open_clip"),
    }


def _open_clip(folder: Path) -> Path:
    import open_clip
    from safetensors.torch import save_file

    text = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    half = [0.5, 0.5, 0.5]
    config = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}}
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(
        json.dumps({**config, "preprocess_cfg": {"mean": half, "std": half}})
    )
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def learn_and_answer(choice: Choice, weights: Mapping[str, Path]) -> tuple[dict[str, float], GroundedText]:
    """One training step, and one grounded answer.

    Returns:
        The largest gradient in each part, and the answer of the model after the step. Untrained, it would
        hardly ever ask for a mask: the row of its output head for [SEG] is set so that it begins with one.
    """
    model = random_model(Recipe.load(RECIPE, overrides(choice, weights)))
    reached = one_step(model)
    model.eval()
    context = model.encode(video(3))
    _begin_with_seg(model, context)
    return reached, model.ground(context, [Query("the cat")])[0]


@torch.inference_mode()
def _begin_with_seg(model: GroundingModel, context: Any) -> None:
    lm = model.language_model
    prompt = lm.tokenize(model.question(Query("the cat")))
    (states,) = lm.generate(context.prefix, [prompt], max_new_tokens=1).states
    row = lm.network.get_output_embeddings().weight[model.seg_id]
    row.copy_(10 * states[0] / states[0].norm() * row.numel() ** 0.5)


def table(passed: Iterable[Choice]) -> str:
    """The matrix in Markdown: of each pair of encoder and language model, with how many decoders it works."""
    works = set(passed)
    rows: list[Sequence[str]] = [["", *LANGUAGE_MODELS], ["---", *[":-:"] * len(LANGUAGE_MODELS)]]
    for encoder in ENCODERS:
        cells = []
        for model in LANGUAGE_MODELS:
            failed = [decoder for decoder in DECODERS if (encoder, model, decoder) not in works]
            count = f"{len(DECODERS) - len(failed)}/{len(DECODERS)}"
            cells.append(f"{count}, not {', '.join(failed)}" if failed else count)
        rows.append([encoder, *cells])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", f"The decoders: {', '.join(DECODERS)}."])


def legend() -> str:
    """What each name of the matrix is, in Markdown."""
    rows = ["| part | name | `--set` |", "| --- | --- | --- |", f"| all | | {_code(COMMON)} |"]
    for role, parts in ROLES.items():
        for name, part in parts.items():
            rows.append(f"| {role.replace('_', ' ')} | {name} | {_code(part_overrides(role, part, {}))} |")
    return "\n".join(rows)


def _code(items: Iterable[str]) -> str:
    return "<br>".join(f"`{item}`" for item in items)
