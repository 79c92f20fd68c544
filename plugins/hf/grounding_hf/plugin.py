"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from grounding_core.hookspecs import Entry, Kind, hookimpl

INTERFACE = 1

OFFERS: tuple[tuple[Kind, str, str, str], ...] = (
    (
        "image_encoder",
        "hf_image",
        "image:HfImage",
        "vision towers of transformers: CLIP, SigLIP 2, DINOv3, ...",
    ),
    ("video_encoder", "hf_video", "video:HfVideo", "VideoMAE, V-JEPA 2, VideoPrism, ViViT, PE-video"),
    ("language_model", "causal_lm", "language:HfCausalLM", "any causal language model of transformers"),
    ("image_text", "hf_image_text", "image_text:HfImageText", "CLIP, SigLIP 2, ...: crops against phrases"),
    (
        "frame_selector",
        "text_match",
        "text_match:TextMatch",
        "frames nearest to the question",
    ),
    ("command", "chat-template", "chat_template:app", "a tokenizer's chat template as a recipe's prompts"),
)


@hookimpl
def grounding_entries() -> Sequence[Entry]:
    """Encoders, language models, an image–text component, and a command that reads chat templates."""
    return [
        Entry(kind, name, f"grounding_hf.{target}", "pip install grounding-hf", summary)
        for kind, name, target, summary in OFFERS
    ]
