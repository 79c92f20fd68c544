"""What a recipe's model is made of, counted without weights and without memory for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from grounding_core.compose import Plan, neighbours
from grounding_core.config import ROLES
from grounding_core.errors import GroundingError
from grounding_core.plugins import registry
from grounding_core.training.config import TrainConfig


@dataclass(frozen=True)
class PartOutline:
    """One part of a model.

    Attributes:
        role: as in the recipe.
        component: its name.
        plugin: distribution and version it comes from.
        parameters: how many.
        trained: how many of them `grounding train` changes, in any of its stages.
        buffers: numbers kept beside the parameters.
        tokens: visual tokens a frame that an adapter gives the language model; None for other parts.
    """

    role: str
    component: str
    plugin: str
    parameters: int
    trained: int
    buffers: int
    tokens: float | None = None

    def bytes(self, width: int) -> int:
        """Memory of the weights at so many bytes a number (4: fp32, 2: bf16)."""
        return (self.parameters + self.buffers) * width


def outline(planned: Plan) -> list[PartOutline]:
    """The parts of a planned model.

    Builds every part on PyTorch's meta device, so that the published 5 billion parameters take no memory.
    A language model that trains through low-rank adapters counts as frozen: neither the adapters nor the
    embeddings that train beside them are counted.

    Raises:
        GroundingError: the recipe names a whole model, which has no parts.
    """
    recipe = planned.recipe
    if recipe.model is not None:
        raise GroundingError(
            f"Recipe {recipe.name} is the whole model {recipe.model.type!r}; it has no parts to show.",
            "Use `grounding check` for it.",
        )
    return [_part(planned, role) for role in planned.parts]


def _part(planned: Plan, role: str) -> PartOutline:
    part = planned.parts[role]
    # A language model's constructor reads a tokenizer; its outline does without.
    build = part.component.outline if role == "language_model" else part.component
    with torch.device("meta"):
        module: nn.Module = build(part.config, **neighbours(planned, role))
    offer = registry().find(ROLES[role], part.name)
    frames = planned.recipe.sampling.frames if planned.recipe.sampling is not None else 1
    branch = role.removesuffix("_adapter")
    return PartOutline(
        role,
        part.name,
        f"{offer.distribution} {offer.version}",
        sum(p.numel() for p in module.parameters()),
        _trained(role, module, planned.recipe.training),
        sum(b.numel() for b in module.buffers()),
        planned.visual_tokens[branch] / frames if branch in planned.visual_tokens else None,
    )


def _trained(role: str, module: nn.Module, training: TrainConfig | None) -> int:
    """Parameters that some stage of the training changes."""
    stages = training.staged() if training is not None else [TrainConfig()]
    trained = 0
    for name, parameter in module.named_parameters():
        frozen = [_is_frozen(f"{role}.{name}", stage) for stage in stages]
        trained += 0 if all(frozen) else parameter.numel()
    return trained


def _is_frozen(name: str, stage: TrainConfig) -> bool:
    adapted = stage.lora is not None and name.startswith("language_model.")
    return adapted or any(f"{name}.".startswith(f"{part}.") for part in stage.freeze)


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted path -> the values of two nested mappings, where they differ; None where one has none."""
    flat = [dict(_flat(each)) for each in (one, other)]
    paths = [*flat[0], *(path for path in flat[1] if path not in flat[0])]
    pairs = {path: (flat[0].get(path), flat[1].get(path)) for path in paths}
    return {path: pair for path, pair in pairs.items() if pair[0] != pair[1]}


def _flat(values: Mapping[str, Any], path: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{path}{key}.")
        else:
            found.append((f"{path}{key}", value))
    return found
