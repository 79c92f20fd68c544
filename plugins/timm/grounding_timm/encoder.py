"""Backbones of timm as image encoder (https://github.com/huggingface/pytorch-image-models)."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Any

import timm
from pydantic import Field
from safetensors import SafetensorError
from timm.models import load_checkpoint
from torch import Tensor

from grounding_core.errors import CheckpointError
from grounding_core.feature_maps import FeatureMapConfig, FeatureMapEncoder
from grounding_core.precision import filled_later


class TimmConfig(FeatureMapConfig):
    """Which backbone, its weights, and which of its layers."""

    model: str = Field(
        description="timm's name with its pretrained tag (vit_small_patch16_dinov3.lvd1689m), a hub model's "
        "(hf-hub:ORG/NAME), or a folder with config.json and weights in the hub's layout."
    )
    pretrained: bool = Field(
        default=True, description="Load the weights of the tag or folder; false: random ones."
    )
    weights: str | None = Field(
        default=None, description="Local weights file (safetensors or PyTorch), instead of the tag's."
    )
    norm: bool = Field(
        default=True,
        description="Final norm over the final layer's features; Hiera has none for maps and needs false.",
    )
    arguments: dict[str, Any] = Field(
        default={}, description="Further arguments of timm.create_model, e.g. {patch_size: 8}."
    )


class TimmEncoder(FeatureMapEncoder):
    """The feature map of one layer or stage, without class and register tokens."""

    Config = TimmConfig

    def __init__(self, config: TimmConfig) -> None:
        super().__init__()
        tower = _create(config)
        if not hasattr(tower, "forward_intermediates"):
            raise CheckpointError(
                f"timm's {config.model} gives no feature maps (it has no forward_intermediates).",
                "Choose a ViT, ConvNeXt, Hiera, Swin or EVA model.",
            )
        facts = tower.pretrained_cfg
        self.size = config.image_size or facts["input_size"][-1]
        if hasattr(tower, "set_input_size"):
            tower.set_input_size(img_size=self.size)
        self.fit, self.mean, self.std = config.fit, tuple(facts["mean"]), tuple(facts["std"])
        self.norm = config.norm and config.layer == -1
        # Layers behind the one that is read have no effect: they are neither kept nor run.
        try:
            tower.prune_intermediate_layers([config.layer], prune_norm=not self.norm, prune_head=True)
        except AssertionError as error:
            raise CheckpointError(
                f"timm's {config.model} has no layer {config.layer}: {error}", "Choose one nearer to -1."
            ) from error
        self.tower = tower

    def maps(self, pixels: Tensor) -> Tensor:
        (features,) = self.tower.forward_intermediates(
            pixels, indices=1, norm=self.norm, output_fmt="NCHW", intermediates_only=True
        )
        return features  # type: ignore[no-any-return]


def _create(config: TimmConfig) -> Any:
    """The whole model, with its weights where they are wanted."""
    name = config.model
    if Path(name).expanduser().is_dir():
        name = f"local-dir:{Path(name).expanduser()}"
    own = config.weights is None and config.pretrained
    try:
        model = timm.create_model(
            name, pretrained=own and not filled_later(), num_classes=0, **config.arguments
        )
        if config.weights is not None and not filled_later():
            _fill(model, config.weights)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        near = difflib.get_close_matches(name, timm.list_models() + timm.list_pretrained())
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = f"Did you mean {' or '.join(near)}?" if near else "timm.list_models() names all."
        if name in near:  # then it is not the name
            remedy = "Weights come from the hub unless `weights` names a file; see `arguments` too."
        raise CheckpointError(f"timm's {config.model} can't be made: {reason}", remedy) from error
    return model


def _fill(model: Any, file: str) -> None:
    """Weights from a file; names of older and foreign checkpoints are translated as timm does it."""
    if not Path(file).expanduser().is_file():
        raise CheckpointError(f"There is no weights file {file}.", "Give a .safetensors or PyTorch file.")
    translate = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    found = load_checkpoint(
        model, str(Path(file).expanduser()), strict=False, filter_fn=translate, weights_only=True
    )
    if found is not None and found.missing_keys:
        raise CheckpointError(
            f"{file} lacks {len(found.missing_keys)} weights, the first is {found.missing_keys[0]}.",
            "It belongs to another model; check `model` and `arguments`.",
        )
