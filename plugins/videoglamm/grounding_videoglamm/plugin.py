"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from grounding_core.hookspecs import Entry, hookimpl

HINT = "pip install grounding-videoglamm"
VARIANTS = {
    "image": "image encoder only",
    "video": "video encoder only",
    "framewise": "masks decoded frame by frame",
    "32-frames": "32 frames, pooled more coarsely",
}
"""Recipes that extend ``videoglamm``."""


@hookimpl
def grounding_entries() -> Sequence[Entry]:
    """VideoGLaMM's seven parts and its recipes."""
    here = "grounding_videoglamm"
    return [
        Entry(
            "image_encoder",
            "clip",
            f"{here}.clip:ClipEncoder",
            HINT,
            "CLIP ViT patch features, frame by frame",
        ),
        Entry(
            "video_encoder",
            "internvideo2",
            f"{here}.internvideo2:InternVideo2Encoder",
            HINT,
            "InternVideo2 stage-2 features, 4 frames at a time",
        ),
        Entry(
            "vision_adapter",
            "mlp_pool",
            f"{here}.adapters:MlpPoolAdapter",
            HINT,
            "two-layer MLP, then average pooling of the patch grid",
        ),
        Entry("language_model", "phi3", f"{here}.phi3:Phi3", HINT, "Phi-3 through transformers"),
        Entry(
            "prompt_adapter",
            "mlp",
            f"{here}.adapters:MlpPromptAdapter",
            HINT,
            "two-layer MLP from a [SEG] state to one mask prompt",
        ),
        Entry(
            "mask_decoder",
            "sam2",
            f"{here}.sam2:Sam2Decoder",
            HINT,
            "SAM 2 with embeddings as prompts: framewise or with video memory",
        ),
        Entry(
            "converter",
            "videoglamm",
            f"{here}.convert:VideoGlammConverter",
            HINT,
            "published VideoGLaMM checkpoints",
        ),
        Entry(
            "recipe",
            "videoglamm",
            f"{here}:recipes/videoglamm.yaml",
            HINT,
            "the published sizes; bring the weights",
        ),
        *(
            Entry("recipe", f"videoglamm-{name}", f"{here}:recipes/videoglamm-{name}.yaml", HINT, summary)
            for name, summary in VARIANTS.items()
        ),
        Entry(
            "recipe",
            "videoglamm-tiny",
            f"{here}:recipes/videoglamm-tiny.yaml",
            HINT,
            "a few million parameters, trained on sprites, weights included",
        ),
    ]
