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


@dataclass(frozen=True)
class PartOutline:
    """One part of a model.

    Attributes:
        role: as in the recipe.
        component: its name.
        plugin: distribution and version it comes from.
        parameters: how many.
        trained: how many of them `grounding train` changes.
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
    A language model that trains through low-rank adapters counts as frozen; the adapters are not counted.

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
    training = planned.recipe.training
    for name in training.freeze if training is not None else ():
        owner, _, inside = name.partition(".")
        if owner == role:
            module.get_submodule(inside).requires_grad_(False)
    if role == "language_model" and training is not None and training.lora is not None:
        module.requires_grad_(False)
    offer = registry().find(ROLES[role], part.name)
    frames = planned.recipe.sampling.frames if planned.recipe.sampling is not None else 1
    branch = role.removesuffix("_adapter")
    return PartOutline(
        role,
        part.name,
        f"{offer.distribution} {offer.version}",
        sum(p.numel() for p in module.parameters()),
        sum(p.numel() for p in module.parameters() if p.requires_grad),
        sum(b.numel() for b in module.buffers()),
        planned.visual_tokens[branch] / frames if branch in planned.visual_tokens else None,
    )


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
