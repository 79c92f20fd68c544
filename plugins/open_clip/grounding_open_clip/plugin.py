"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from grounding_core.hookspecs import Entry, hookimpl

INTERFACE = 1


@hookimpl
def grounding_entries() -> Sequence[Entry]:
    """An image encoder for every image tower, and an image–text component for every whole model."""
    return [
        Entry(
            "image_encoder",
            "open_clip",
            "grounding_open_clip.encoder:OpenClipEncoder",
            "pip install open_clip_torch",
            "any image tower of open_clip, by model name and pretrained tag",
        ),
        Entry(
            "image_text",
            "open_clip",
            "grounding_open_clip.image_text:OpenClipImageText",
            "pip install open_clip_torch",
            "any whole model of open_clip compares crops with phrases",
        ),
    ]
