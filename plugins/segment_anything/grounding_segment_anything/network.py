"""SAM's three modules at the published sizes or others, and its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from pydantic import Field
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import nn

from grounding_core.errors import CheckpointError
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.tensors import open_tensors

PATCH = 16
Published = Literal["vit_b", "vit_l", "vit_h"]


class Sizes(ComponentConfig):
    """Sizes of a SAM that is none of the published ones. Defaults: those all published ones share."""

    encoder_width: int = Field(ge=1, description="Width of the image encoder.")
    encoder_depth: int = Field(ge=1, description="Blocks of the image encoder.")
    encoder_heads: int = Field(ge=1, description="Attention heads of the image encoder.")
    global_blocks: tuple[int, ...] = Field(description="Blocks of the image encoder with global attention.")
    window: int = Field(default=14, ge=1, description="Attention window of the other blocks.")
    image_size: int = Field(
        default=1024, ge=PATCH, multiple_of=PATCH, description="Side of the square input in pixels."
    )
    width: int = Field(
        default=256, ge=32, multiple_of=32, description="Width of the decoder, and so of the prompts."
    )
    mlp_width: int = Field(default=2048, ge=1, description="Width of the mask decoder's MLPs.")


PUBLISHED: Mapping[Published, Sizes] = {
    "vit_b": Sizes(encoder_width=768, encoder_depth=12, encoder_heads=12, global_blocks=(2, 5, 8, 11)),
    "vit_l": Sizes(encoder_width=1024, encoder_depth=24, encoder_heads=16, global_blocks=(5, 11, 17, 23)),
    "vit_h": Sizes(encoder_width=1280, encoder_depth=32, encoder_heads=16, global_blocks=(7, 15, 23, 31)),
}
"""``build_sam.py`` of the segment-anything package."""


class Network(nn.Module):
    """SAM's modules under the names that its checkpoints use."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        grid = sizes.image_size // PATCH
        self.image_encoder = ImageEncoderViT(
            depth=sizes.encoder_depth,
            embed_dim=sizes.encoder_width,
            img_size=sizes.image_size,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            num_heads=sizes.encoder_heads,
            patch_size=PATCH,
            use_rel_pos=True,
            global_attn_indexes=sizes.global_blocks,
            window_size=sizes.window,
            out_chans=sizes.width,
        )
        self.prompt_encoder = PromptEncoder(
            embed_dim=sizes.width,
            image_embedding_size=(grid, grid),
            input_image_size=(sizes.image_size, sizes.image_size),
            mask_in_chans=16,
        )
        self.mask_decoder = MaskDecoder(
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=sizes.width, mlp_dim=sizes.mlp_width, num_heads=8
            ),
            transformer_dim=sizes.width,
            iou_head_hidden_dim=sizes.width,
        )


def load(network: Network, source: str) -> None:
    """Fill a network from a checkpoint in the layout of the segment-anything package.

    Args:
        network: of the checkpoint's size.
        source: a file, or ``OWNER/REPOSITORY/FILE`` on the hub.

    Raises:
        CheckpointError: it can't be found, is damaged, or is of another size.
    """
    stored = open_tensors(_file(source))
    wanted = network.state_dict()
    missing = sorted(set(wanted) - set(stored))
    unknown = sorted(set(stored) - set(wanted))
    misshapen = [key for key in wanted if key in stored and stored[key].shape != tuple(wanted[key].shape)]
    if missing or unknown or misshapen:
        what = [
            f"{len(keys)} keys {verb}, e.g. {keys[0]}"
            for verb, keys in (("are missing", missing), ("are unknown", unknown), ("differ", misshapen))
            if keys
        ]
        raise CheckpointError(
            f"{source} is no SAM of these sizes: {'; '.join(what)}.",
            "Set `model` to what the checkpoint's name says: vit_b, vit_l or vit_h.",
        )
    with torch.no_grad():
        for key, value in wanted.items():
            value.copy_(stored[key].read())


def _file(source: str) -> Path:
    file = Path(source).expanduser()
    if file.is_file():
        return file
    parts = source.split("/", 2)
    remedy = "Name a file such as sam_vit_b_01ec64.pth, or OWNER/REPOSITORY/FILE on the hub."
    if len(parts) != 3 or file.is_absolute() or source.startswith("."):
        raise CheckpointError(f"There is no SAM checkpoint {source}.", remedy)
    try:
        return Path(hf_hub_download("/".join(parts[:2]), parts[2]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"SAM checkpoint {source!r} can't be fetched: {str(error).splitlines()[0]}", remedy
        ) from error
