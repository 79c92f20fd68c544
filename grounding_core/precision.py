"""Number types of weights: half precision for any part, 8 or 4 bits for a language model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from grounding_core.errors import RecipeError

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

FLOATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_EMPTY: ContextVar[bool] = ContextVar("empty", default=False)
_READING: ContextVar[tuple[str, str] | None] = ContextVar("reading", default=None)


@contextmanager
def empty_parameters() -> Iterator[None]:
    """Modules made in here have parameters without memory or values, for a checkpoint to fill.

    Unlike under ``torch.device("meta")``, buffers that no checkpoint holds (rotary frequencies) are real.
    Modules that other threads make meanwhile are what they always are.
    """
    token = _EMPTY.set(True)
    try:
        yield
    finally:
        _EMPTY.reset(token)


def _on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
    if (
        parameter is None or parameter.is_meta or not _EMPTY.get()
    ):  # an empty one may be tied: it stays itself
        return None
    return nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)


# Once for the process, and asleep outside of `empty_parameters`: other threads may be making modules, or
# loading as well, whenever one put in for a single load came and went.
register_module_parameter_registration_hook(_on_meta)  # type: ignore[arg-type]  # what it returns is read


def filled_later() -> bool:
    """Whether modules made now are for shapes only, or filled by a checkpoint: no other weights are wanted.

    True in `empty_parameters` and on PyTorch's meta device.
    """
    return nn.LayerNorm(1).weight.is_meta  # draws no random numbers


@contextmanager
def read_in(precision: str, floats: str) -> Iterator[None]:
    """Networks that transformers reads in here come in this number type; see `reading_options`."""
    token = _READING.set((precision, floats))
    try:
        yield
    finally:
        _READING.reset(token)


def reading_options() -> dict[str, Any]:
    """What ``from_pretrained`` of a network gets for the number type of `read_in`.

    With int8 and nf4 transformers quantises tensor by tensor, so that the network is never there in full.
    """
    precision, floats = _READING.get() or ("", "")
    if precision in ("", *FLOATS):
        return {}
    dtype = FLOATS[floats]
    return {"quantization_config": _bits(precision, dtype), "dtype": dtype, "device_map": {"": "cpu"}}


def set_precision(part: nn.Module, precision: str, floats: str) -> None:
    """Change the number type of a part's weights, in place.

    Buffers that no checkpoint holds keep theirs: rotary frequencies lose positions in half precision.

    Args:
        part: with weights, or with empty parameters; those are quantised when they are filled. Layers that
            are quantised already stay as they are.
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
    named = {**dict(part.named_parameters()), **dict(part.named_buffers())}
    for key, tensor in part.state_dict(keep_vars=True).items():
        if key in named and tensor.is_floating_point():
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


def unquantised(state: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """A module's state with the weights of its quantised layers as numbers again, without their scales."""
    from transformers.integrations.bitsandbytes import dequantize_bnb_weight

    found = dict(state)
    for name, layer in module.named_modules():
        if is_quantised(layer):
            scales = (f"{name}.weight.", f"{name}.weight_format", f"{name}.SCB")
            found = {key: value for key, value in found.items() if not key.startswith(scales)}
            found[f"{name}.weight"] = dequantize_bnb_weight(layer.weight, getattr(layer, "state", None))
    return found


def is_quantised(layer: nn.Module) -> bool:
    """Whether the layer's own weight is stored in 8 or 4 bits."""
    weight = layer._parameters.get("weight")
    return weight is not None and type(weight).__name__ in ("Int8Params", "Params4bit")


def _make_room(part: nn.Module, precision: str, dtype: torch.dtype) -> None:
    """Replace the linear layers of a part's networks by empty quantised ones; the output head stays."""
    from transformers import PreTrainedModel
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers.base import get_keys_to_not_convert

    networks = [child for child in part.children() if isinstance(child, PreTrainedModel)]
    if not networks:
        problem = f"{precision} needs a network of transformers, and {type(part).__name__} holds none"
        raise RecipeError(type(part).__name__, [("precision", f"{problem}; use bf16 or fp16")])
    # It would say for every layer and token that sums of int8 are kept in half precision.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    for network in networks:
        if not any(map(is_quantised, network.modules())):
            replace_with_bnb_linear(network, get_keys_to_not_convert(network), _bits(precision, dtype))
            # As transformers' own loading does; peft looks at it.
            setattr(network, f"is_loaded_in_{8 if precision == 'int8' else 4}bit", True)
        for layer in network.modules():
            if is_quantised(layer):
                layer.register_load_state_dict_pre_hook(_read_scales)


def _bits(precision: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_8bit=precision == "int8",
        load_in_4bit=precision == "nf4",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
    )


def _read_scales(layer: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Put the scales of 4-bit weights in place; bitsandbytes writes them into states, but can't load them."""
    scales = state.pop(f"{prefix}weight.absmax", None)
    if scales is not None:
        layer.weight.quant_state.absmax.copy_(scales)
        for key in [key for key in state if key.startswith(f"{prefix}weight.")]:
            del state[key]
