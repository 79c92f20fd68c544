"""From a recipe to a model: ``plan`` checks everything without weights, ``build`` loads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from threading import RLock
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from grounding_core.config import QUANTISED, QUESTION, ROLES, TEXT, VISUAL, Part, Recipe, validation_problems
from grounding_core.device import place
from grounding_core.errors import GroundingError, PluginError, RecipeError
from grounding_core.hookspecs import Kind
from grounding_core.interfaces.specs import DecoderSpec, EncoderSpec, LanguageSpec
from grounding_core.plugins import registry

if TYPE_CHECKING:
    from grounding_core.interfaces.grounder import Grounder
    from grounding_core.model import GroundingModel

REQUIRED = ("language_model", "prompt_adapter", "mask_decoder", "sampling", "seg", "prompts")

_MAKING = RLock()
"""Held while networks are made: for as long as transformers reads one, it swaps PyTorch's initialisers and
default number type for the whole process. Two at once could leave them swapped."""


@dataclass(frozen=True)
class PlannedPart:
    """A part whose component is found and whose options are valid."""

    role: str
    name: str
    component: type[Any]
    config: Any
    facts: str = ""


@dataclass(frozen=True)
class Plan:
    """A recipe that fits together.

    Attributes:
        recipe: what was planned.
        parts: by role.
        specs: encoder, language and decoder specs by role.
        visual_tokens: tokens a video takes in the language model, by branch.
        context: the language model's context length.
        selector: of the frames for the encoders; None: evenly spread.
    """

    recipe: Recipe
    parts: Mapping[str, PlannedPart] = field(default_factory=dict)
    specs: Mapping[str, Any] = field(default_factory=dict)
    visual_tokens: Mapping[str, int] = field(default_factory=dict)
    context: int = 0
    selector: PlannedPart | None = None

    @property
    def visual_length(self) -> int:
        """Visual tokens that the language model reads of a video."""
        return fused_length(self.recipe, self.visual_tokens)


def fused_length(recipe: Recipe, visual: Mapping[str, int]) -> int:
    """Tokens of both branches together: one after the other, or added place by place."""
    if recipe.sampling is not None and recipe.sampling.fusion == "add":
        return min(visual.values(), default=0)
    return sum(visual.values())


def plan(recipe: Recipe, *, tasks: Sequence[str] = ()) -> Plan:
    """Resolve names, validate options, check widths, grids, frame counts and the context budget.

    Reads no weights.

    Args:
        recipe: what to plan.
        tasks: names of tasks that the model shall be scored on; a task may need a decoder that tracks.

    Raises:
        RecipeError: all problems at once, each with its path in the recipe.
        PluginError: there is no such task.
    """
    problems: list[tuple[str, str]] = []
    if recipe.model is not None:
        return _plan_whole(recipe, problems)
    for name in REQUIRED:
        if getattr(recipe, name) is None:
            problems.append((name, "is missing; a composed model needs it"))
    parts: dict[str, PlannedPart] = {}
    specs: dict[str, Any] = {}
    for role in recipe.parts():
        _resolve(recipe, role, parts, specs, problems)
    _check_branches(recipe, parts, problems)
    _check_precision(recipe, problems)
    visual = _check_tokens(recipe, parts, specs, problems)
    _check_decoder(recipe, tasks, parts, specs, problems)
    _check_prompts(recipe, problems)
    selectors: dict[str, PlannedPart] = {}
    if recipe.sampling is not None and recipe.sampling.select is not None:
        _load(recipe.sampling.select, "sampling.select", "frame_selector", selectors, problems)
    if problems:
        raise RecipeError(recipe.name, problems)
    selector = selectors.get("sampling.select")
    return Plan(recipe, parts, specs, visual, specs["language_model"].context, selector)


def build(recipe: Recipe, *, device: str | None = None) -> Grounder:
    """The model of a recipe, in evaluation mode.

    Args:
        recipe: what to build.
        device: where it computes, as PyTorch names it; None: a GPU where there is one, else the CPU.

    Raises:
        RecipeError: as `plan`.
        CheckpointError: weights are missing or do not fit.
        GroundingError: the device can't be used.
    """
    planned = plan(recipe)
    model: Grounder
    if recipe.model is not None:
        part = planned.parts["model"]
        with _MAKING:
            model = part.component(part.config)
    else:
        model = build_composed(planned)
    place(model, device)
    return model


def build_composed(planned: Plan, *, weights: bool = True) -> GroundingModel:
    """The composed model of a plan, in evaluation mode, on the CPU.

    Args:
        planned: what to build.
        weights: False leaves it at its random initialisation (training from scratch).

    Raises:
        CheckpointError: weights are missing or do not fit.
    """
    from grounding_core.checkpoint import load_weights
    from grounding_core.model import GroundingModel
    from grounding_core.precision import empty_parameters, read_in, set_precision

    recipe = planned.recipe
    modules: dict[str, Any] = {}
    filled = weights and recipe.checkpoint is not None
    with _MAKING:
        for role, part in planned.parts.items():
            precision = recipe.parts()[role].precision or recipe.precision
            with empty_parameters() if filled else read_in(precision, recipe.precision):
                modules[role] = part.component(part.config, **neighbours(planned, role))
            set_precision(modules[role], precision, recipe.precision)
        model = GroundingModel(planned, modules)
        if (chosen := planned.selector) is not None:
            model.select_with(chosen.component(chosen.config))
    if filled and recipe.checkpoint is not None:
        load_weights(model, recipe.checkpoint, absent=set(ROLES) - set(planned.parts))
    if recipe.generation.cuda_graphs:
        model.language_model.use_cuda_graphs()
    return model.eval()


def neighbours(planned: Plan, role: str) -> dict[str, Any]:
    """What a part is constructed with beside its config: facts of the parts next to it, and of the recipe."""
    specs, seg = planned.specs, planned.recipe.seg
    if role.endswith("_encoder") or role == "mask_decoder":
        return {}
    if role == "language_model":
        assert seg is not None  # plan() has checked
        return {"special_tokens": (seg.token,), "norm": seg.norm}
    width = specs["language_model"].width
    if role == "prompt_adapter":
        return {"width": width, "target": specs["mask_decoder"]}
    return {"source": specs[role.replace("adapter", "encoder")], "width": width}


def _plan_whole(recipe: Recipe, problems: list[tuple[str, str]]) -> Plan:
    problems += [(role, "stands beside `model`; a whole model has no parts") for role in recipe.parts()]
    assert recipe.model is not None
    if recipe.model.precision is not None or recipe.precision != "fp32":
        problems.append(("precision", "is for models in parts; a whole model has options of its own"))
    parts: dict[str, PlannedPart] = {}
    _load(recipe.model, "model", "model", parts, problems)
    if problems:
        raise RecipeError(recipe.name, problems)
    return Plan(recipe, parts)


def _load(
    part: Part, role: str, kind: Kind, parts: dict[str, PlannedPart], problems: list[tuple[str, str]]
) -> None:
    try:
        component = registry().load(kind, part.type)
        config = component.Config.model_validate(part.options)
    except PluginError as error:
        problems.append((f"{role}.type", str(error)))
    except ValidationError as error:
        problems.extend(validation_problems(error, role))
    else:
        parts[role] = PlannedPart(role, part.type, component, config)


def _resolve(
    recipe: Recipe,
    role: str,
    parts: dict[str, PlannedPart],
    specs: dict[str, Any],
    problems: list[tuple[str, str]],
) -> None:
    _load(recipe.parts()[role], role, ROLES[role], parts, problems)
    if role not in parts or not hasattr(parts[role].component, "spec"):
        return
    try:
        specs[role] = parts[role].component.spec(parts[role].config)
    except GroundingError as error:
        problems.append((role, str(error)))


def _check_branches(
    recipe: Recipe, parts: Mapping[str, PlannedPart], problems: list[tuple[str, str]]
) -> None:
    if recipe.image_encoder is None and recipe.video_encoder is None:
        problems.append(
            ("image_encoder", "is missing, and so is video_encoder; one of them must see the video")
        )
    for branch in ("image", "video"):
        encoder, adapter = getattr(recipe, f"{branch}_encoder"), getattr(recipe, f"{branch}_adapter")
        if encoder is not None and adapter is None:
            problems.append((f"{branch}_adapter", f"is missing; {branch}_encoder needs one"))
        if adapter is not None and encoder is None:
            problems.append(
                (f"{branch}_adapter", f"has no {branch}_encoder to adapt; set {branch}_adapter=null")
            )
    if (
        recipe.sampling is not None
        and recipe.sampling.single_image == "image_branch"
        and recipe.image_encoder is None
    ):
        problems.append(("sampling.single_image", "image_branch needs an image_encoder; use as_video"))


def _check_precision(recipe: Recipe, problems: list[tuple[str, str]]) -> None:
    for role, part in recipe.parts().items():
        if part.precision not in QUANTISED:
            continue
        if role != "language_model":
            problems.append((f"{role}.precision", f"{part.precision} is for the language model; use bf16"))
        elif find_spec("bitsandbytes") is None:
            remedy = "pip install 'grounding-core[quantised]'"
            problems.append((f"{role}.precision", f"{part.precision} needs bitsandbytes; {remedy}"))


def _check_tokens(
    recipe: Recipe,
    parts: Mapping[str, PlannedPart],
    specs: Mapping[str, Any],
    problems: list[tuple[str, str]],
) -> dict[str, int]:
    frames = recipe.sampling.frames if recipe.sampling is not None else 0
    visual: dict[str, int] = {}
    for branch in ("image", "video"):
        source: EncoderSpec | None = specs.get(f"{branch}_encoder")
        adapter = parts.get(f"{branch}_adapter")
        if source is None or adapter is None:
            continue
        if adapter.component.needs_grid and source.grid is None:
            problems.append(
                (
                    f"{branch}_adapter",
                    f"{adapter.name} needs a patch grid, which {branch}_encoder does not have",
                )
            )
            continue
        if frames % source.multiple:
            problems.append(
                (
                    "sampling.frames",
                    f"{frames} is not a multiple of the {source.multiple} frames {branch}_encoder takes",
                )
            )
            continue
        try:
            visual[branch] = adapter.component.num_tokens(adapter.config, source, frames)
        except GroundingError as error:
            problems.append((f"{branch}_adapter", str(error)))
    _check_fusion(recipe, parts, specs, visual, problems)
    language: LanguageSpec | None = specs.get("language_model")
    length = fused_length(recipe, visual)
    need = length + recipe.generation.max_new_tokens
    if language is not None and need >= language.context:
        problems.append(
            (
                "language_model",
                f"context of {language.context} tokens is too short for {length} visual tokens "
                f"and answers of {recipe.generation.max_new_tokens}; "
                "use fewer frames, more pooling or shorter answers",
            )
        )
    return visual


def _check_fusion(
    recipe: Recipe,
    parts: Mapping[str, PlannedPart],
    specs: Mapping[str, Any],
    visual: Mapping[str, int],
    problems: list[tuple[str, str]],
) -> None:
    """Tokens are added only where those of both branches stand for the same places and times."""
    if recipe.sampling is None or recipe.sampling.fusion != "add" or len(visual) < 2:
        return
    grids = {}
    for branch in visual:
        adapter = parts[f"{branch}_adapter"]
        grids[branch] = adapter.component.grid(adapter.config, specs[f"{branch}_encoder"])
    if None in grids.values() or len(set(grids.values())) > 1 or visual["image"] % visual["video"]:
        told = ", ".join(f"{branch}_adapter {grid or 'none'}" for branch, grid in grids.items())
        problems.append(
            (
                "sampling.fusion",
                f"add needs tokens of the same grid of places from both branches; there are {told}",
            )
        )


def _check_decoder(
    recipe: Recipe,
    tasks: Sequence[str],
    parts: Mapping[str, PlannedPart],
    specs: Mapping[str, Any],
    problems: list[tuple[str, str]],
) -> None:
    decoder: DecoderSpec | None = specs.get("mask_decoder")
    if decoder is None:
        return
    if decoder.prompt_tokens < 1 or decoder.prompt_width < 1:
        shape = f"{decoder.prompt_tokens} prompt tokens of width {decoder.prompt_width}"
        problems.append(("mask_decoder", f"takes {shape}; both must be at least 1"))
    language: LanguageSpec | None = specs.get("language_model")
    adapter = parts.get("prompt_adapter")
    if language is not None and adapter is not None:
        try:
            adapter.component.check(adapter.config, width=language.width, target=decoder)
        except GroundingError as error:
            problems.append(("prompt_adapter", str(error)))
    for task in tasks:
        if getattr(registry().load("task", task), "needs_tracking", False) and not decoder.tracks:
            problems.append(
                (
                    "mask_decoder",
                    f"{parts['mask_decoder'].name} decodes frame by frame, and task {task} follows objects "
                    "by memory; use a decoder, or a mode of it, that tracks",
                )
            )


def _check_prompts(recipe: Recipe, problems: list[tuple[str, str]]) -> None:
    if recipe.prompts is None:
        return
    layout = recipe.prompts.layout
    for slot in (VISUAL, QUESTION):
        if layout.count(slot) != 1:
            problems.append(("prompts.layout", f"must hold {slot} exactly once"))
            return
    if layout.index(VISUAL) > layout.index(QUESTION):
        problems.append(
            ("prompts.layout", f"{VISUAL} must come before {QUESTION}, so that questions can share the video")
        )
    for kind in ("refer", "ask", "locate"):
        if TEXT not in getattr(recipe.prompts, kind):
            problems.append((f"prompts.{kind}", f"must hold {TEXT}, where the question's words go"))
    if recipe.seg is not None and recipe.seg.token not in recipe.prompts.answer:
        problems.append(("prompts.answer", f"must hold the seg token {recipe.seg.token}"))
