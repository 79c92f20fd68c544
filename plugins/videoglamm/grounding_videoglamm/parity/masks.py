"""Stages of the mask decoder: framewise, and tracked by memory."""

from __future__ import annotations

import torch
from torch import Tensor

from grounding_core.types import Query
from grounding_core.video import Video
from grounding_videoglamm.parity.compare import LATER_FLIPPED, Checks, rounded
from grounding_videoglamm.parity.golden import Converted, Golden, pick
from grounding_videoglamm.parity.language import words
from grounding_videoglamm.sam2 import Sam2Decoder


def framewise(checks: Checks, model: Converted) -> None:
    """Each frame by itself with the prompt, in evaluation mode."""
    golden, decoder = checks.golden, model.decoder
    wanted = golden.outputs
    checks.stage = "framewise masks"
    prompts = wanted["gen_seg_embeddings"][: wanted["framewise_masks_orig"].shape[1], None]
    logits, visible = _by_frame(decoder, golden.mask_frames, prompts)
    checks.close("framewise_low_res_mask_logits", logits)
    checks.close("framewise_object_score_logits", visible[..., None])
    features = decoder.image_features(golden.mask_frames)
    sparse = prompts[None].expand(len(features), -1, -1, -1)
    conditioned = decoder.without_memory(features)
    _, chosen, _, _ = decoder.masks(features, conditioned, sparse, multimask=False)
    checks.close("framewise_iou_pred", chosen)
    _, three, _, _ = decoder.masks(features, conditioned, sparse, multimask=True)
    decoder.train()
    first_logits, first, _, _ = decoder.masks(features, conditioned, sparse, multimask=False)
    decoder.eval()
    checks.close("framewise_all_iou_pred", torch.cat([first, three], dim=-1))
    delta = golden.config["sam2"]["sam_mask_decoder"]["dynamic_multimask_stability_delta"]
    stable = (first_logits > delta).sum((-2, -1)) / (first_logits > -delta).sum((-2, -1)).clamp(min=1)
    checks.close("framewise_stability_score", stable)
    whole = _tracked_by_user_path(model, golden, prompts)
    checks.close("framewise_mask_logits_orig", whole)
    checks.masks("framewise_masks_orig", whole > 0, wanted["framewise_masks_orig"])


def evaluation_forward(checks: Checks, model: Converted, prompts: Tensor) -> None:
    """The reference's evaluation forward; it pads to so many objects, of which the real ones count."""
    golden = checks.golden
    checks.stage = "evaluation forward"
    count = len(prompts)
    logits, _ = _by_frame(model.decoder, golden.mask_frames, prompts)
    wanted = golden.outputs["evalfwd_low_res_mask_logits_sub2"]
    name = "evalfwd_low_res_mask_logits_sub2"
    checks.close(name, pick(logits, wanted), wanted[:, :count])
    name = "evalfwd_mask_logits_orig"
    checks.close(name, _tracked_by_user_path(model, golden, prompts), golden.outputs[name][:, :count])


def tracked(checks: Checks, model: Converted) -> None:
    """Objects prompted on frame 0 and tracked by memory, all in one batch."""
    golden, decoder = checks.golden, model.decoder
    for objects in golden.objects:
        start = f"video{objects}obj_"
        checks.stage = f"video branch, {objects} object{'s' if objects > 1 else ''}"
        prompts = golden.outputs[f"{start}text_embeds"][:, None]
        scene = decoder.open(Video.open(golden.mask_frames.numpy()))
        steps = list(decoder.follow(scene, prompts))
        logits = torch.stack([step.logits for step in steps])
        for name in (f"{start}low_res_mask_logits", f"{start}low_res_mask_logits_sub2"):
            if name in golden.outputs:
                checks.tracked(name, pick(logits, golden.outputs[name]), objects)
        found = {
            "multimask_iou_pred": torch.stack([step.iou for step in steps]),
            "object_score_logits": torch.stack([step.score for step in steps]),
            "obj_ptr": torch.stack([step.pointer for step in steps]),
            "maskmem_features_sub": torch.stack([step.memory for step in steps]),
        }
        for name, value in found.items():
            if start + name in golden.outputs:
                checks.close(start + name, pick(value, golden.outputs[start + name]))
        whole = torch.stack([decoder.at_frame_size(scene, step.logits) for step in steps])
        checks.tracked(f"{start}mask_logits_orig", whole, objects)
        masks = golden.outputs[f"{start}masks_orig"]
        checks.masks(f"{start}masks_orig frame 0", whole[0] > 0, masks[0])
        if len(masks) > 1:
            checks.masks(f"{start}masks_orig frames 1..", whole[1:] > 0, masks[1:], allowed=LATER_FLIPPED)


def whole_pipeline(checks: Checks, model: Converted) -> None:
    """From raw frames to an answer with mask tracks, the way a user runs it.

    Pixel values are rounded to fp16 on the way, because the reference was given rounded ones.
    """
    golden = checks.golden
    prompt = golden.prompt(golden.inputs["prompt_input_ids"][0])
    checks.stage = "whole pipeline from raw frames"
    encoders = (model.clip, model.internvideo)
    exact = [encoder.pixels for encoder in encoders]
    for encoder, pixels in zip(encoders, exact, strict=True):
        object.__setattr__(encoder, "pixels", lambda clips, pixels=pixels: rounded(pixels(clips)))
    try:
        context = model.model.encode(Video.open(golden.frames.numpy()))
        answer = model.model.ground(context, Query(words(prompt.rest)))
    finally:
        for encoder in encoders:
            object.__delattr__(encoder, "pixels")
    ids = model.lm.tokenize(answer.meta["markup"].replace("[SEG]", " [SEG] "))
    new = golden.outputs["gen_new_token_ids"][0]
    checks.same("gen_new_token_ids", torch.tensor(ids), new[new != golden.end])
    objects = len(answer.tracks)
    indices = golden.inputs["sam_frame_indices"].tolist()
    name = f"video{objects}obj_masks_orig"
    if indices == list(range(len(indices))) and name in golden.outputs:
        tracks = [torch.from_numpy(track.masks(indices)) for track in answer.tracks]
        masks = torch.stack(tracks, dim=1)
        checks.masks(name, masks, golden.outputs[name], allowed=LATER_FLIPPED)


def _by_frame(decoder: Sam2Decoder, frames: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
    """Low-resolution logits (t, k, h, w) and visibility (t, k) of one video."""
    owner = torch.zeros(len(prompts), dtype=torch.long)
    logits, visible = decoder(frames[None], prompts, owner)
    return logits.transpose(0, 1), visible.transpose(0, 1)


def _tracked_by_user_path(model: Converted, golden: Golden, prompts: Tensor) -> Tensor:
    """Logits (t, k, H, W) at the video's own size."""
    scene = model.decoder.open(Video.open(golden.mask_frames.numpy()))
    return torch.stack(list(model.decoder.track(scene, prompts)))
