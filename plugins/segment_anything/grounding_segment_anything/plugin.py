"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from grounding_core.hookspecs import Entry, hookimpl

INTERFACE = 1


@hookimpl
def grounding_entries() -> Sequence[Entry]:
    """SAM."""
    return [
        Entry(
            "mask_decoder",
            "sam1",
            "grounding_segment_anything.decoder:Sam1Decoder",
            "pip install grounding-segment-anything",
            "SAM with embeddings or boxes as prompts, frame by frame; masks may be carried over",
        )
    ]
