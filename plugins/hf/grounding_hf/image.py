"""Vision towers of transformers as image encoder: CLIP, SigLIP 2, DINOv3, ViT, ConvNeXt, Swin, ..."""

from __future__ import annotations

import inspect
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from grounding_core.errors import CheckpointError
from grounding_core.feature_maps import FeatureMapEncoder
from grounding_hf.networks import POOLED, VisionConfig, class_of, described, load, normalisation, tower_of


class HfImage(FeatureMapEncoder):
    """Patch features of one layer; class and register tokens, which stand before the patches, are dropped."""

    Config = VisionConfig

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        found = tower_of(described(config), "vision_config")
        if getattr(found, "mask_ratio", None) is not None:
            found.mask_ratio = 0.0  # ViT-MAE's, for its own training
        self.tower = load(class_of(found), found, config, what="Vision weights", unused=POOLED)
        own = own_size(found)
        if own is None and config.image_size is None:
            raise CheckpointError("The vision tower does not say its image_size.", "Give `image_size`.")
        self.size, self.fit = config.image_size or own or 0, config.fit
        self.resized = self.size != own
        self.mean, self.std = normalisation(config)
        self.layer = config.layer

    def maps(self, pixels: Tensor) -> Tensor:
        asked = inspect.signature(self.tower.forward).parameters
        inputs: dict[str, Any] = {"pixel_values": pixels}
        if "spatial_shapes" in asked:
            inputs = patches(pixels, self.tower.config.patch_size)
        if "interpolate_pos_encoding" in asked:
            inputs["interpolate_pos_encoding"] = self.resized
        if "noise" in asked and isinstance(patch := self.tower.config.patch_size, int):
            # By its order ViT-MAE shuffles patches, also where it masks none.
            inputs["noise"] = torch.arange((self.size // patch) ** 2, device=pixels.device).expand(
                len(pixels), -1
            )
        features = features_of(self.tower, inputs, self.layer)
        if len(features) != len(pixels):
            raise ValueError(f"layer {self.layer} holds no single images")
        if features.ndim == 4:
            return channels_first(features)
        rows = grid_side(features.shape[1], self.size, self.tower.config)
        found: Tensor = features[:, -rows * rows :].transpose(1, 2).unflatten(2, (rows, rows))
        return found


def features_of(tower: Any, inputs: dict[str, Any], layer: int) -> Tensor:
    """A layer's output; -1 is what the tower calls its last hidden state, its final norm included."""
    found = tower(**inputs, output_hidden_states=layer != -1)
    features: Tensor = found.last_hidden_state
    if layer != -1:
        # Hiera's hidden states are in an order of its own, and only these in that of the image.
        kept = found.get("reshaped_hidden_states") or found.hidden_states or ()
        if len(kept) < -layer:
            raise ValueError(f"layer {layer} is none of {len(kept)} layers")
        features = kept[layer]
    return features


def channels_first(features: Tensor) -> Tensor:
    """Square maps (b, d, r, r) of maps with their channels first or, as SAM's hidden states, last."""
    _, second, third, fourth = features.shape
    if third == fourth:
        return features
    if second != third:
        raise ValueError(f"maps of {second} x {third} x {fourth} are not square")
    return features.permute(0, 3, 1, 2)


def own_size(found: Any) -> int | None:
    """Side in pixels of the images a tower was made for; None if its config does not say."""
    size = getattr(found, "image_size", None) or getattr(found, "crop_size", None)
    if size is None and hasattr(found, "num_patches"):
        return isqrt(found.num_patches) * int(found.patch_size)
    return size if size is None or isinstance(size, int) else int(size[0])


def grid_side(tokens: int, size: int, found: Any) -> int:
    """Rows of the patch grid at the end of a sequence of tokens.

    Towers whose grid shrinks from stage to stage have fewer tokens than patches: it is a square then too.

    Raises:
        ValueError: there are more or fewer tokens than a grid and the usual tokens before it.
    """
    patch = getattr(found, "patch_size", None)
    rows = size // patch if isinstance(patch, int) else 0
    side = rows if 0 < rows * rows <= tokens else isqrt(tokens)
    # Class and distillation; none where a grid shrank.
    before = 0 if side < rows else 2 + (getattr(found, "num_register_tokens", None) or 0)
    halved = {rows}
    while rows > 1:
        rows = (rows + 1) // 2
        halved.add(rows)
    if side == 0 or tokens - side * side > before or (rows and side not in halved):
        raise ValueError(f"{tokens} tokens are no grid of patches")
    return side


def patches(pixels: Tensor, patch: int) -> dict[str, Any]:
    """Images (b, 3, s, s) as SigLIP 2's flexible towers read them: patches, and the grid's sides."""
    count, _, side, _ = pixels.shape
    rows = side // patch
    cut = pixels[..., : rows * patch, : rows * patch].unflatten(2, (rows, patch)).unflatten(4, (rows, patch))
    flat = cut.permute(0, 2, 4, 3, 5, 1).reshape(count, rows * rows, -1)
    return {
        "pixel_values": flat,
        "pixel_attention_mask": None,
        # Read as numbers, one image after the other: not on a GPU.
        "spatial_shapes": torch.tensor([[rows, rows]] * count, device="cpu"),
    }
