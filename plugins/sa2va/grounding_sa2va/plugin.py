"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from grounding_core.hookspecs import Entry, hookimpl

INTERFACE = 1
HINT = "pip install grounding-sa2va"


@hookimpl
def grounding_entries() -> Sequence[Entry]:
    """The whole model, and the converter of its decoder side."""
    return [
        Entry("model", "sa2va", "grounding_sa2va.model:Sa2va", HINT, "Sa2VA from its published folder"),
        Entry(
            "converter",
            "sa2va-decoder",
            "grounding_sa2va.decoder_side:Sa2vaDecoderConverter",
            HINT,
            "Sa2VA from a [SEG] state to masks",
        ),
    ]
