"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from grounding_core.hookspecs import Entry, Kind, hookimpl

INTERFACE = 1

OFFERS: tuple[tuple[Kind, str, str, str], ...] = (
    ("mask_decoder", "edgetam", "edgetam:EdgeTamDecoder", "EdgeTAM: SAM 2's tracker for small machines"),
    ("mask_decoder", "sam3", "sam3:Sam3Decoder", "SAM 3's tracker, with prompts as SAM 2 takes them"),
    (
        "model",
        "grounding_dino_sam2",
        "grounding_dino:GroundingDinoSam2",
        "Grounding DINO finds boxes of the text, SAM 2 or another decoder tracks them",
    ),
    ("model", "sam3", "sam3_text:Sam3Text", "SAM 3 finds and tracks what a text names"),
)


@hookimpl
def grounding_entries() -> Sequence[Entry]:
    """Mask decoders and whole models."""
    return [
        Entry(kind, name, f"grounding_sam.{target}", "pip install 'grounding-sam[edgetam]'", summary)
        for kind, name, target, summary in OFFERS
    ]
