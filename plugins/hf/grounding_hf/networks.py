"""Networks of transformers by hub id, folder, or description, with nothing left to chance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from pydantic import Field, model_validator
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils import cached_file

from grounding_core.errors import CheckpointError
from grounding_core.feature_maps import FeatureMapConfig
from grounding_core.hub import from_pretrained
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.pixels import Triple
from grounding_core.precision import filled_later

PROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
POOLED = ("pooler", "head", "classifier", "predictor", "fc_norm")
"""Modules of encoders that only summaries of a whole image go through."""


class NetworkConfig(ComponentConfig):
    """Where a network comes from."""

    weights: str | None = Field(default=None, description="Hub id, or folder as `save_pretrained` writes it.")
    network: dict[str, Any] | None = Field(
        default=None,
        description="Instead of weights, to train from scratch: `model_type` and options of its transformers "
        "config.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> NetworkConfig:
        if (self.weights is None) == (self.network is None):
            raise ValueError("give either `weights` or `network`")
        return self


class VisionConfig(FeatureMapConfig, NetworkConfig):
    """Where a vision tower comes from, and how frames are prepared for it."""

    mean: Triple | None = Field(
        default=None, description="Mean of the channels; null: as the checkpoint's image processor has it."
    )
    std: Triple | None = Field(default=None, description="Deviation of the channels; null likewise.")


def described(config: NetworkConfig, **options: Any) -> Any:
    """The transformers config that a component's options name; no weights are read.

    Args:
        config: of the component.
        options: for ``AutoConfig.from_pretrained``.

    Raises:
        CheckpointError: hub or folder can't be read, or an option of `network` is unknown.
    """
    if config.weights is not None:
        needs = options.get("gguf_file") or "config.json"
        return from_pretrained(
            AutoConfig.from_pretrained, config.weights, what="Weights", needs=needs, **options
        )
    asked = dict(config.network or {})
    kind = asked.pop("model_type", None)
    try:
        found = AutoConfig.for_model(kind, **asked)
        known = type(found)()
    except (ValueError, TypeError, KeyError, StrictDataclassError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"network: {reason}", "Give a `model_type` and options of transformers."
        ) from error
    unknown = [name for name in asked if not hasattr(known, name)]
    if unknown:
        raise CheckpointError(
            f"network: {kind} has no option {', '.join(unknown)}.", f"See {type(found).__name__}."
        )
    return found


def tower_of(found: Any, *names: str) -> Any:
    """The config of the tower alone: in a model with text beside it, what the first of the names holds."""
    if getattr(found, "text_config", None) is None:
        return found
    return next((part for name in names if (part := getattr(found, name, None)) is not None), found)


def class_of(found: Any, mapping: Any = MODEL_MAPPING) -> Any:
    """The network class for a config.

    Raises:
        CheckpointError: transformers has none.
    """
    try:
        return mapping[type(found)]
    except KeyError as error:
        kind = getattr(found, "model_type", type(found).__name__)
        raise CheckpointError(
            f"transformers has no network of this kind for {kind!r}.", "Choose another model, or update it."
        ) from error


def load(network: Any, found: Any, config: NetworkConfig, *, what: str, **options: Any) -> Any:
    """A network with its weights where they are wanted.

    Args:
        network: class.
        found: its transformers config.
        config: of the component.
        what: name in errors.
        options: for `grounding_core.hub.from_pretrained`.

    Raises:
        CheckpointError: the weights can't be read, or belong to another network.
    """
    if config.weights is None or filled_later():
        return network(found)
    needs = options.get("gguf_file") or "config.json"
    return from_pretrained(
        network.from_pretrained, config.weights, what=what, needs=needs, config=found, **options
    )


def dual_encoder(source: str, **options: Any) -> Any:
    """A model with a tower for pictures and one for texts.

    Args:
        source: hub id, or folder.
        options: for ``from_pretrained``.

    Raises:
        CheckpointError: it can't be read, or is no such model.
    """
    what = "Dual encoder"
    network = class_of(from_pretrained(AutoConfig.from_pretrained, source, what=what))
    if not hasattr(network, "get_text_features"):
        raise CheckpointError(
            f"{source} is a {network.__name__}, which has no text tower.",
            "Use a model with both towers, such as CLIP or SigLIP.",
        )
    return from_pretrained(network.from_pretrained, source, what=what, **options).eval()


def normalisation(config: VisionConfig) -> tuple[Triple, Triple]:
    """Mean and deviation of the channels of pixels 0..1: the recipe's, or the checkpoint's image processor's.

    Raises:
        CheckpointError: neither says.
    """
    if config.mean is not None and config.std is not None:
        return config.mean, config.std
    mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    if config.weights is not None:
        mean, std = normalisation_of(config.weights, "Give `mean` and `std`.")
    return config.mean or mean, config.std or std


def normalisation_of(source: str, remedy: str) -> tuple[Triple, Triple]:
    """Mean and deviation that do to pixels 0..1 what a checkpoint's image processor does to pixels 0..255.

    Raises:
        CheckpointError: it has none, or one that does not say.
    """
    facts = _processor(source)
    if facts.get("do_normalize") is False:
        facts = {**facts, "image_mean": (0.0, 0.0, 0.0), "image_std": (1.0, 1.0, 1.0)}
    if not {"image_mean", "image_std"} <= set(facts):
        raise CheckpointError(
            f"{source} has no preprocessor_config.json that says how pixels are normalised.", remedy
        )
    kind = facts.get("image_processor_type") or facts.get("video_processor_type") or ""
    vivit = kind.startswith("Vivit")  # what its file leaves out is otherwise than with all others
    factor = facts.get("rescale_factor") or (1 / 127.5 if vivit else 1 / 255)
    scale = 255 * factor if facts.get("do_rescale", True) else 255.0
    shift = float(facts.get("offset", vivit) or facts.get("rescale_offset", False))
    middle = _three((mean + shift) / scale for mean in facts["image_mean"])
    # EfficientNet's divides twice for its classifier, in training too.
    power = 2 if facts.get("include_top") else 1
    return middle, _three(std**power / scale for std in facts["image_std"])


def _three(values: Iterable[float]) -> Triple:
    red, green, blue = values
    return red, green, blue


def _processor(source: str) -> Mapping[str, Any]:
    """The image processor's part of a checkpoint; empty if it has none."""
    for name in PROCESSORS:
        path = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
        if path is not None:
            facts = json.loads(Path(path).read_text(encoding="utf-8"))
            inner: Mapping[str, Any] = facts.get("image_processor") or facts.get("video_processor") or facts
            return inner
    return {}
