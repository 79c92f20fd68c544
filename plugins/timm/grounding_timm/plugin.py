"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from grounding_core.hookspecs import Entry, hookimpl

INTERFACE = 1


@hookimpl
def grounding_entries() -> Sequence[Entry]:
    """One image encoder, for every backbone."""
    return [
        Entry(
            "image_encoder",
            "timm",
            "grounding_timm.encoder:TimmEncoder",
            "pip install timm",
            "any backbone of timm with feature maps: ViT, DINO, SigLIP, EVA, Hiera, ConvNeXt",
        )
    ]
