"""Image towers of open_clip as image encoder (https://github.com/mlfoundations/open_clip)."""

from __future__ import annotations

import difflib
import logging
from pathlib import Path
from typing import Any

import open_clip
from pydantic import Field
from safetensors import SafetensorError
from torch import Tensor

from grounding_core.errors import CheckpointError
from grounding_core.feature_maps import FeatureMapConfig, FeatureMapEncoder
from grounding_core.precision import filled_later


class OpenClipConfig(FeatureMapConfig):
    """Which tower, its weights, and which of its layers."""

    model: str = Field(
        description="open_clip's model name (ViT-B-16), `hf-hub:ORG/NAME`, or a folder with "
        "open_clip_config.json and weights in the hub's layout."
    )
    pretrained: str | None = Field(
        default=None,
        description="Pretrained tag (laion2b_s34b_b88k) or weights file; null: random. Folders and hub "
        "models bring their own.",
    )


class OpenClipEncoder(FeatureMapEncoder):
    """The feature map of one layer of a CLIP model's image tower, without the class token."""

    Config = OpenClipConfig

    def __init__(self, config: OpenClipConfig) -> None:
        super().__init__()
        tower = create(config).visual
        facts = tower.preprocess_cfg
        own = facts["size"]
        self.size = config.image_size or (own if isinstance(own, int) else own[0])
        self.fit, self.mean, self.std = config.fit, tuple(facts["mean"]), tuple(facts["std"])
        self.norm = config.layer == -1
        self.wanted: int | list[int] = [config.layer]
        try:
            # Layers behind the one that is read have no effect: they are neither kept nor run.
            if hasattr(tower, "prune_intermediate_layers"):
                tower.prune_intermediate_layers(self.wanted, prune_norm=not self.norm, prune_head=True)
                self.wanted = 1
        except AssertionError as error:
            raise CheckpointError(
                f"open_clip's {config.model} has no layer {config.layer}: {error}", "Choose one nearer to -1."
            ) from error
        self.tower = tower

    def maps(self, pixels: Tensor) -> Tensor:
        found = self.tower.forward_intermediates(
            pixels, indices=self.wanted, normalize_intermediates=self.norm, intermediates_only=True
        )
        (features,) = found["image_intermediates"]
        return features  # type: ignore[no-any-return]


def create(config: OpenClipConfig, *, text: bool = False) -> Any:
    """The whole CLIP model, with its weights where they are wanted; ``text``: those of both sides."""
    name, pretrained = config.model, config.pretrained
    folder, tags = Path(name).expanduser(), open_clip.list_pretrained_tags_by_model(name)
    if folder.is_dir():
        name = f"local-dir:{folder}"
    elif ":" not in name and name not in open_clip.list_models():
        near = difflib.get_close_matches(name, open_clip.list_models())
        remedy = f"Did you mean {' or '.join(near)}?" if near else "open_clip.list_models() names all."
        raise CheckpointError(f"open_clip has no model {name}.", remedy)
    elif pretrained is not None and pretrained not in tags and not Path(pretrained).expanduser().is_file():
        raise CheckpointError(
            f"open_clip's {name} has no pretrained tag {pretrained}, and there is no such file.",
            f"Its tags: {', '.join(tags)}." if tags else "Give a weights file.",
        )
    empty, level = filled_later(), logging.root.manager.disable
    if empty or pretrained is None:
        logging.disable(logging.WARNING)  # it warns of random weights, which are what is wanted here
    try:
        model = open_clip.create_model(
            name,
            pretrained=None if empty else pretrained,
            load_weights=not empty,
            device=None,  # where PyTorch makes tensors now
            pretrained_text=text,
            force_image_size=config.image_size,
        )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"open_clip's {config.model} can't be made: {reason}",
            "Weights come from the hub unless `pretrained` is a file or `model` a folder that fits.",
        ) from error
    finally:
        logging.disable(level)
    return model
