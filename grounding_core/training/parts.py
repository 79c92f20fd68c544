"""What of a model trains: frozen parts, low-rank adapters, and the weights that come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from grounding_core.errors import GroundingError
from grounding_core.model import GroundingModel
from grounding_core.precision import is_quantised
from grounding_core.training.config import Lora, TrainConfig

_ADAPTER = "default"
_BASE = ".base_layer."


def choose_parts(model: GroundingModel, config: TrainConfig, console: Console) -> None:
    """Freeze what the configuration says, put adapters in, and show the list of what trains.

    Raises:
        GroundingError: a name fits nothing, nothing is left to train, or weights of 8 or 4 bits
            would have to be.
    """
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    if config.lora is not None:
        _adapt(model, config.lora)
    named = dict(model.named_parameters())
    for name in config.freeze:
        below = [p for key, p in named.items() if f"{key}.".startswith(f"{name}.")]
        if not below:
            roles = ", ".join(name for name, _ in model.named_children())
            raise GroundingError(
                f"training.freeze names {name}, which this model does not have.",
                f"Its roles are {roles}; what is below them goes by dotted name.",
            )
        for parameter in below:
            parameter.requires_grad_(False)
    if config.lora is None and "language_model" not in config.freeze:
        _refuse_quantised(model)
    table = Table("part", "parameters", "trained", title="What is trained")
    total = 0
    for name, part in model.named_children():
        count = sum(p.numel() for p in part.parameters())
        trained = sum(p.numel() for p in part.parameters() if p.requires_grad)
        total += trained
        table.add_row(name, f"{count:,}", f"{trained:,}" if trained else "no")
    console.print(table)
    if not total:
        raise GroundingError("Every part is frozen.", "Take a role out of training.freeze.")
    trained_now = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    for role in sorted({name.partition(".")[0] for name, p in trained_now if p.itemsize < 4}):
        console.print(
            f"{role}: its weights are kept in half precision, which rounds small steps away. Leave the "
            "recipe's precision at fp32; training.precision=bf16 computes in bf16 and keeps weights in fp32.",
            style="yellow",
        )


def rest_frozen(model: GroundingModel, config: TrainConfig) -> None:
    """Frozen modules work as in use: no dropout, and running means of batch norms stay as they are."""
    modules = dict(model.named_modules())
    for name in config.freeze:
        if name in modules:
            modules[name].eval()


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """What the optimiser gets: weight decay on matrices only."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


def recompute_activations(model: GroundingModel) -> None:
    """Keep no activations inside encoders that are trained, nor inside the language model's layers.

    The backward pass computes them again.
    """
    model.language_model.recompute()
    for role in ("image_encoder", "video_encoder"):
        part = getattr(model, role)
        if part is None or not any(p.requires_grad for p in part.parameters()):
            continue
        forward = part.forward

        def again(*args: Any, forward: Any = forward) -> Any:
            return torch.utils.checkpoint.checkpoint(forward, *args, use_reentrant=False)

        part.forward = again


def _refuse_quantised(model: GroundingModel) -> None:
    if any(map(is_quantised, model.language_model.modules())):
        raise GroundingError(
            "language_model.precision is int8 or nf4; such weights can't be trained.",
            "Give training.lora, freeze language_model, or train it in bf16 and quantise it to use it.",
        )


def _adapt(model: GroundingModel, lora: Lora) -> None:
    """Low-rank adapters in the language model, whose own weights are frozen (arXiv 2106.09685)."""
    from peft import LoraConfig, inject_adapter_in_model

    network: Any = model.language_model.get_submodule("network")
    options = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),  # type: ignore[arg-type]
    )
    named = network.named_modules()
    held = [name for name, module in named if isinstance(module, nn.Embedding)]
    other = [name for name in held if any(f".{name}".endswith(f".{target}") for target in lora.targets)]
    if other:
        raise GroundingError(
            f"training.lora.targets name {other[0]}, which holds embeddings.",
            "Name linear layers; training.lora.embeddings trains the embeddings themselves.",
        )
    try:
        inject_adapter_in_model(options, network, _ADAPTER)
    except ValueError as error:
        names = sorted({n.rpartition(".")[2] for n, m in network.named_modules() if isinstance(m, nn.Linear)})
        raise GroundingError(
            f"training.lora.targets {', '.join(lora.targets)} fit no layer of the language model.",
            f"Its linear layers: {', '.join(names)}.",
        ) from error
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("lora_" in name)
    if lora.embeddings:
        network.get_input_embeddings().requires_grad_(True)
        network.get_output_embeddings().requires_grad_(True)


def merged_state(state: Mapping[str, Tensor], model: nn.Module, lora: Lora | None) -> dict[str, Tensor]:
    """A model's weights by the names they have without adapters; what adapters add is added.

    Args:
        state: the weights.
        model: whose they are.
        lora: its adapters, if any.
    """
    if lora is None:
        return dict(state)
    merged = {}
    for key, value in state.items():
        layer, base, last = key.partition(_BASE)
        if base and last == "weight":
            up, down = (state[f"{layer}.lora_{side}.{_ADAPTER}.weight"] for side in "BA")
            added = lora.alpha / lora.rank * (up @ down)
            turned = getattr(model.get_submodule(layer), "fan_in_fan_out", False)  # as GPT-2's layers are
            value = value + (added.T if turned else added)
        if ".lora_" not in key:
            merged[layer + "." + last if base else key] = value
    return merged
