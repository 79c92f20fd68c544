"""Number types of weights: half precision for any part, 8 or 4 bits for a language model."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from grounding_core.errors import RecipeError

FLOATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@contextmanager
def empty_parameters() -> Iterator[None]:
    """Modules made in here have parameters without memory or values, for a checkpoint to fill.

    Unlike under ``torch.device("meta")``, buffers that no checkpoint holds (rotary frequencies) are real.
    """
    register = nn.Module.register_parameter

    def on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:  # one that is stays itself: it may be tied
            parameter = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
        register(module, name, parameter)

    nn.Module.register_parameter = on_meta  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def set_precision(part: nn.Module, precision: str, floats: str) -> None:
    """Change the number type of a part's weights, in place.

    Buffers that no checkpoint holds keep theirs: rotary frequencies lose positions in half precision.

    Args:
        part: with weights, or with empty parameters; those are quantised when they are filled.
        precision: fp32, bf16, fp16, or int8 or nf4 for the linear layers of a transformers network.
        floats: fp32, bf16 or fp16: type of the weights that int8 and nf4 leave alone, and of the sums.

    Raises:
        RecipeError: int8 or nf4 for a part without such a network.
    """
    quantised = precision not in FLOATS
    dtype = FLOATS[floats if quantised else precision]
    weights = dict(part.named_parameters())
    if quantised:
        _make_room(part, precision, dtype)
    for tensor in part.state_dict(keep_vars=True).values():
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)
    for name, parameter in list(part.named_parameters()):
        if parameter.is_meta and not weights[name].is_meta:
            materialise(part, parameter, weights[name].detach())


def materialise(module: nn.Module, parameter: nn.Parameter, value: Tensor) -> None:
    """Put a value where an empty parameter is, in its number type; quantised if the parameter is.

    Args:
        module: holds the parameter, once or (tied weights) several times.
        parameter: without memory.
        value: of the same shape; copied.
    """
    value = value.to(parameter.dtype, copy=True)
    filled: Tensor
    if type(parameter) is nn.Parameter:
        filled = nn.Parameter(value, requires_grad=parameter.requires_grad)
    else:  # bitsandbytes' own kind: it quantises when it is sent to a device, this one included
        kind, facts = type(parameter), {k: v for k, v in vars(parameter).items() if k not in ("CB", "SCB")}
        filled = kind(value, requires_grad=False, **facts).to(value.device)
    for owner in module.modules():
        for name, held in owner._parameters.items():
            if held is parameter:
                owner._parameters[name] = cast(nn.Parameter, filled)


def _make_room(part: nn.Module, precision: str, dtype: torch.dtype) -> None:
    """Replace the linear layers of a part's networks by empty quantised ones; the output head stays."""
    from transformers import BitsAndBytesConfig, PreTrainedModel
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers.base import get_keys_to_not_convert

    networks = [child for child in part.children() if isinstance(child, PreTrainedModel)]
    if not networks:
        problem = f"{precision} needs a network of transformers, and {type(part).__name__} holds none"
        raise RecipeError(type(part).__name__, [("precision", f"{problem}; use bf16 or fp16")])
    config = BitsAndBytesConfig(
        load_in_8bit=precision == "int8",
        load_in_4bit=precision == "nf4",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
    )
    # It would say for every layer and token that sums of int8 are kept in half precision.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    for network in networks:
        replace_with_bnb_linear(network, get_keys_to_not_convert(network), config)
