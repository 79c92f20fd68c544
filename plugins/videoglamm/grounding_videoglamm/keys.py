"""Names of weights: those of the public releases, and ours."""

from __future__ import annotations

from grounding_core.interfaces.converter import Rule, rename

LANGUAGE = "language_model.network."
DECODER = "mask_decoder.network."
VIDEO = "model.vision_tower.vision_encoder."
IMAGE = "model.image_vision_tower.vision_tower.vision_model."
SAM2 = "model.visual_model."

# Heads of three linear layers, which transformers calls proj_in, layers.0, proj_out.
_HEADS = (
    ("sam_mask_decoder.output_hypernetworks_mlps.{n}", "mask_decoder.output_hypernetworks_mlps.{n}"),
    ("sam_mask_decoder.iou_prediction_head", "mask_decoder.iou_prediction_head"),
    ("sam_mask_decoder.pred_obj_score_head", "mask_decoder.pred_obj_score_head"),
    ("obj_ptr_proj", "object_pointer_proj"),
)
_TWO_WAY = "sam_mask_decoder.transformer", "mask_decoder.transformer"
_MASK_PROMPT = {"0": "conv1", "1": "layer_norm1", "3": "conv2", "4": "layer_norm2", "6": "conv3"}
_UPSCALING = {"0": "upscale_conv1", "1": "upscale_layer_norm", "3": "upscale_conv2"}
_FUSER = {"dwconv": "depthwise_conv", "norm": "layer_norm", "pwconv1": "pointwise_conv1"}
_FUSER |= {"pwconv2": "pointwise_conv2"}


def sam2_rules(theirs: str, ours: str = DECODER) -> tuple[Rule, ...]:
    """From the names of the SAM 2 release to those of transformers.

    Args:
        theirs: what stands before SAM 2's own names in the checkpoint.
        ours: what stands before transformers' names here.
    """
    pairs: list[tuple[str, str]] = [
        ("image_encoder.trunk.patch_embed.proj.{x}", "vision_encoder.backbone.patch_embed.projection.{x}"),
    ]
    block, our_block = "image_encoder.trunk.blocks.{n}", "vision_encoder.backbone.blocks.{n}"
    pairs += [(f"{block}.norm{i}.{{x}}", f"{our_block}.layer_norm{i}.{{x}}") for i in (1, 2)]
    pairs += [
        (f"{block}.mlp.layers.0.{{x}}", f"{our_block}.mlp.proj_in.{{x}}"),
        (f"{block}.mlp.layers.1.{{x}}", f"{our_block}.mlp.proj_out.{{x}}"),
        ("image_encoder.trunk.{x}", "vision_encoder.backbone.{x}"),
        ("image_encoder.neck.convs.{n}.conv.{x}", "vision_encoder.neck.convs.{n}.{x}"),
    ]
    pairs += [
        (f"sam_prompt_encoder.mask_downscaling.{i}.{{x}}", f"prompt_encoder.mask_embed.{name}.{{x}}")
        for i, name in _MASK_PROMPT.items()
    ]
    for head, ours_head in _HEADS:
        pairs += [
            (f"{head}.layers.0.{{x}}", f"{ours_head}.proj_in.{{x}}"),
            (f"{head}.layers.1.{{x}}", f"{ours_head}.layers.0.{{x}}"),
            (f"{head}.layers.2.{{x}}", f"{ours_head}.proj_out.{{x}}"),
        ]
    two, our_two = _TWO_WAY
    pairs += [
        (f"{two}.layers.{{n}}.mlp.layers.0.{{x}}", f"{our_two}.layers.{{n}}.mlp.proj_in.{{x}}"),
        (f"{two}.layers.{{n}}.mlp.layers.1.{{x}}", f"{our_two}.layers.{{n}}.mlp.proj_out.{{x}}"),
        (f"{two}.layers.{{n}}.{{part}}.out_proj.{{x}}", f"{our_two}.layers.{{n}}.{{part}}.o_proj.{{x}}"),
        (
            f"{two}.final_attn_token_to_image.out_proj.{{x}}",
            f"{our_two}.final_attn_token_to_image.o_proj.{{x}}",
        ),
        (f"{two}.norm_final_attn.{{x}}", f"{our_two}.layer_norm_final_attn.{{x}}"),
    ]
    pairs += [
        (f"{two}.layers.{{n}}.norm{i}.{{x}}", f"{our_two}.layers.{{n}}.layer_norm{i}.{{x}}")
        for i in (1, 2, 3, 4)
    ]
    pairs += [
        (f"sam_mask_decoder.output_upscaling.{i}.{{x}}", f"mask_decoder.{name}.{{x}}")
        for i, name in _UPSCALING.items()
    ]
    pairs += [
        ("sam_mask_decoder.{x}", "mask_decoder.{x}"),
        ("sam_prompt_encoder.no_mask_embed.{x}", "prompt_encoder.no_mask_embed.{x}"),
        ("sam_prompt_encoder.not_a_point_embed.{x}", "prompt_encoder.not_a_point_embed.{x}"),
    ]
    memory = "memory_attention.layers.{n}"
    pairs += [(f"{memory}.norm{i}.{{x}}", f"{memory}.layer_norm{i}.{{x}}") for i in (1, 2, 3)]
    pairs += [
        (f"{memory}.{{part}}.out_proj.{{x}}", f"{memory}.{{part}}.o_proj.{{x}}"),
        ("memory_attention.norm.{x}", "memory_attention.layer_norm.{x}"),
        ("memory_attention.{x}", "memory_attention.{x}"),
    ]
    down, our_down = "memory_encoder.mask_downsampler.encoder", "memory_encoder.mask_downsampler"
    for layer in range(4):
        pairs += [
            (f"{down}.{3 * layer}.{{x}}", f"{our_down}.layers.{layer}.conv.{{x}}"),
            (f"{down}.{3 * layer + 1}.{{x}}", f"{our_down}.layers.{layer}.layer_norm.{{x}}"),
        ]
    fuser, our_fuser = "memory_encoder.fuser.layers.{n}", "memory_encoder.memory_fuser.layers.{n}"
    pairs += [(f"{fuser}.{there}.{{x}}", f"{our_fuser}.{here}.{{x}}") for there, here in _FUSER.items()]
    pairs += [
        (f"{down}.12.{{x}}", f"{our_down}.final_conv.{{x}}"),
        (f"{fuser}.weight", f"{our_fuser}.scale"),  # VideoGLaMM's copy of SAM 2
        (f"{fuser}.gamma", f"{our_fuser}.scale"),  # the SAM 2 release
        ("memory_encoder.pix_feat_proj.{x}", "memory_encoder.feature_projection.{x}"),
        ("memory_encoder.out_proj.{x}", "memory_encoder.projection.{x}"),
        ("maskmem_tpos_enc", "memory_temporal_positional_encoding"),
        ("no_mem_embed", "no_memory_embedding"),
        ("no_mem_pos_enc", "no_memory_positional_encoding"),
        ("no_obj_ptr", "no_object_pointer"),
        ("mask_downsample.{x}", "mask_downsample.{x}"),
        ("obj_ptr_tpos_proj.{x}", "temporal_positional_encoding_projection_layer.{x}"),  # 2.1
        ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),  # 2.1
    ]
    points = tuple(f"{theirs}sam_prompt_encoder.point_embeddings.{i}.weight" for i in range(4))
    frequencies = f"{theirs}sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    copies = "shared_image_embedding", "prompt_encoder.shared_embedding"
    return (
        *(rename(theirs + there, ours + here) for there, here in pairs),
        Rule(points, (f"{ours}prompt_encoder.point_embed.weight",)),
        Rule((frequencies,), tuple(f"{ours}{copy}.positional_embedding" for copy in copies)),
    )


VIDEOGLAMM = (
    rename("lm_head.{x}", f"{LANGUAGE}lm_head.{{x}}"),
    rename("model.embed_tokens.{x}", f"{LANGUAGE}model.embed_tokens.{{x}}"),
    rename("model.layers.{x}", f"{LANGUAGE}model.layers.{{x}}"),
    rename("model.norm.{x}", f"{LANGUAGE}model.norm.{{x}}"),
    rename("model.image_mm_projector.{n}.{x}", "image_adapter.project.{n}.{x}"),
    rename("model.mm_projector.{n}.{x}", "video_adapter.project.{n}.{x}"),
    rename("model.text_hidden_fcs.0.{n}.{x}", "prompt_adapter.project.{n}.{x}"),
    rename(f"{IMAGE}{{x}}", "image_encoder.tower.{x}"),
    rename(f"{VIDEO}{{x}}", "video_encoder.{x}"),
    *sam2_rules(SAM2),
)

# Parts of the public InternVideo2 that VideoGLaMM's video tower does not use.
VIDEO_UNUSED = tuple(
    f"model.vision_tower.{key}"
    for key in (
        "vision_encoder.clip_projector.{x}",
        "vision_encoder.clip_decoder.{x}",
        "vision_encoder.final_clip_decoder.{x}",
        "vision_encoder.clip_pos_embed",
        "vision_encoder.img_pos_embed",
        "vision_encoder.clip_img_pos_embed",
        "vision_proj.{x}",
    )
)
