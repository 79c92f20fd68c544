"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from grounding_core.hookspecs import Entry, Kind, hookimpl

INTERFACE = 1

OFFERS: tuple[tuple[Kind, str, str, str], ...] = (
    ("vision_adapter", "linear", "projection:LinearAdapter", "one linear layer"),
    ("vision_adapter", "mlp", "projection:MlpAdapter", "linear layers with GELU between them"),
    ("vision_adapter", "resampler", "resample:Resampler", "learned queries look at a frame or at the clip"),
    ("vision_adapter", "qformer", "resample:QFormer", "learned queries that also look at one another"),
    (
        "vision_adapter",
        "token_merge",
        "merge:TokenMerge",
        "similar tokens of a frame become one, then an MLP",
    ),
    ("prompt_adapter", "multi_token", "prompts:MultiToken", "prompt tokens that attend to one another"),
    ("prompt_adapter", "look_again", "prompts:LookAgain", "the state attends to the frames first"),
)


@hookimpl
def grounding_entries() -> Sequence[Entry]:
    """Adapters, by kind and name."""
    return [
        Entry(kind, name, f"grounding_adapters.{target}", "pip install grounding-adapters", summary)
        for kind, name, target, summary in OFFERS
    ]
