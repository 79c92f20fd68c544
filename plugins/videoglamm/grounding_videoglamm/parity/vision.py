"""Stages from raw frames to visual tokens, and SAM 2's image features."""

from __future__ import annotations

import torch
from torch import Tensor

from grounding_videoglamm.images import long_side, long_side_stretch
from grounding_videoglamm.parity.compare import Checks, rounded
from grounding_videoglamm.parity.golden import Converted, Golden, fine_tokens, pick

CLIP, VIDEO = "clip_pixel_values", "internvideo_pixel_values"


def preprocessing(checks: Checks, model: Converted) -> None:
    """Raw frames to the three encoders' inputs."""
    golden = checks.golden
    stored = golden.inputs
    for name, encoder in ((CLIP, model.clip), (VIDEO, model.internvideo)):
        pixels = encoder.pixels([golden.encoder_frames])[0]
        checks.close(f"{name}_frame0_exact", pixels[0], stored[f"{name}_frame0_exact"])
        checks.close(name, rounded(pixels), stored[name].float(), fp16=True)
    size = golden.config["sam2"]["image_size"]
    checks.same("sam_resized_uint8", long_side(golden.mask_frames, size), stored["sam_resized_uint8"])
    final = long_side_stretch(golden.mask_frames, size, torch.float32)
    coarse = stored["sam_pixel_values_sub8"]
    checks.close("sam_pixel_values_sub8", pick(final, coarse), coarse)


def image_features(checks: Checks, model: Converted) -> None:
    """The image tower."""
    features = model.clip.features(checks.golden.pixels(CLIP))
    checks.close("clip_patch_features", features[0])


def video_features(checks: Checks, model: Converted) -> None:
    """The video tower."""
    features = model.internvideo.features(checks.golden.pixels(VIDEO))
    checks.close("internvideo_features", _chunks(features, checks.golden))


def projectors(checks: Checks, model: Converted) -> None:
    """Both V→L adapters before pooling."""
    golden = checks.golden
    image = model.clip.features(golden.pixels(CLIP))
    video = model.internvideo.features(golden.pixels(VIDEO))
    image = model.image_adapter.project(image)[0]
    video = _chunks(model.video_adapter.project(video), golden)[0]
    for name, tokens in (("image_mm_projector_out_sub", image), ("mm_projector_out_sub", video)):
        checks.close(name, tokens[:, fine_tokens(tokens.shape[1], golden.outputs[name].shape[1])])


def merged_tokens(checks: Checks, model: Converted) -> None:
    """Pooled tokens of both branches in the order the language model reads them."""
    checks.close("merged_visual_tokens", visual_tokens(model, checks.golden)[0])


def visual_tokens(model: Converted, golden: Golden, *, reverse: bool = False, image: bool = False) -> Tensor:
    """Visual tokens (1, m, dl) of the golden pixel values; of the frames in reverse, or of one image."""
    clip, video = golden.pixels(CLIP), golden.pixels(VIDEO)
    if image:
        tokens: Tensor = model.image_adapter(model.clip.features(clip[:, :1]))
        return tokens
    if reverse:
        clip, video = clip.flip(1), video.flip(1)
    branches = (
        model.image_adapter(model.clip.features(clip)),
        model.video_adapter(model.internvideo.features(video)),
    )
    return torch.cat(branches, dim=1)


def sam2_features(checks: Checks, model: Converted) -> None:
    """Hiera's stages, the neck, and SAM 2's position encodings."""
    golden, decoder = checks.golden, model.decoder
    network = decoder.network
    stages: list[Tensor] = []
    backbone = network.vision_encoder.backbone
    hook = backbone.register_forward_hook(lambda _, __, out: stages.extend(out.intermediate_hidden_states))
    features = decoder.image_features(golden.mask_frames)
    hook.remove()
    for index, stage in enumerate(stages):
        name = f"sam2_trunk_stage{index}_frame0_sub"
        checks.close(name, pick(stage[:1].permute(0, 3, 1, 2), golden.outputs[name]))
    found = {
        "sam2_image_embed_sub": decoder.without_memory(features),
        "sam2_high_res_feat0_sub": features.fine[0],
        "sam2_high_res_feat1_sub": features.fine[1],
        "sam2_dense_pe_sub": network.get_image_wide_positional_embeddings(),
    }
    for name, value in found.items():
        checks.close(name, pick(value, golden.outputs[name]))
    name = "sam2_maskmem_pos_enc_sub"
    memory = network.memory_encoder
    side = features.coarse.shape[-1]
    shape = (1, memory.projection.out_channels, side, side)
    position = memory.position_encoding(torch.Size(shape), "cpu", torch.float32)
    checks.close(name, pick(position, golden.outputs[name]))


def _chunks(tokens: Tensor, golden: Golden) -> Tensor:
    """(1, t, n, d) as (1, chunks, frames a chunk * n, d)."""
    chunk = golden.config["chunk_size"]
    chunks: Tensor = tokens.unflatten(1, (-1, chunk))
    return chunks.flatten(2, 3)
