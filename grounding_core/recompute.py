"""Training a language model in less memory: its layers keep no activations, but the cache they fill.

transformers' own way (``gradient_checkpointing_enable``) gives the cache up, through which the questions
share the video. Here a layer gets what the cache holds as tensors and returns what it added, so that it can
be run a second time in the backward pass.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache


def recompute_layers(layers: Iterable[nn.Module], argument: str) -> None:
    """Compute activations inside each of a decoder's layers again where gradients ask for them.

    Args:
        layers: in their order; each takes hidden states first.
        argument: by which they take the cache, a `transformers.DynamicCache`.
    """
    for index, layer in enumerate(layers):
        layer.forward = _again(layer.forward, index, argument)


def _again(forward: Any, index: int, argument: str) -> Any:
    def run(
        hidden: Tensor, layers: list[Any], past: tuple[Tensor, ...], options: dict[str, Any]
    ) -> tuple[Tensor, ...]:
        own = DynamicCache()
        if layers:
            # The layer's own kind, with tensors that the backward pass knows of.
            own.layers = [*layers[:index], copy.copy(layers[index])]
            own.layers[index].keys, own.layers[index].values = past
        output: Tensor = forward(hidden, **{**options, argument: own})
        return output, own.layers[index].keys, own.layers[index].values

    def again(hidden_states: Tensor, **options: Any) -> Tensor:
        if not torch.is_grad_enabled():
            output: Tensor = forward(hidden_states, **options)
            return output
        cache = options.pop(argument)
        layer = cache.layers[index] if index < len(cache.layers) else None
        layers = [] if layer is None else list(cache.layers)
        past = () if layer is None else (layer.keys, layer.values)
        found, keys, values = checkpoint(run, hidden_states, layers, past, options, use_reentrant=False)
        if layer is None:
            cache.update(keys, values, index)
        else:
            layer.keys, layer.values = keys, values
        return found

    return again
