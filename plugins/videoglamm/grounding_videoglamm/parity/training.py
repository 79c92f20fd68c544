"""Stages of training: a batch through the shared prefix, its losses and gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from grounding_core.model import Batch, Outputs
from grounding_core.training.config import LossWeights
from grounding_core.training.losses import losses
from grounding_videoglamm.convert import VideoGlammConverter
from grounding_videoglamm.parity.compare import NOISE_FACTOR, RELATIVE, Checks, Row
from grounding_videoglamm.parity.golden import Converted, Golden, Prompt, pick, rows_with
from grounding_videoglamm.parity.vision import visual_tokens

NEGLIGIBLE = 1e-4
"""Gradients with a smaller norm are rounding noise."""


@dataclass(frozen=True)
class Conversation:
    """One row of a reference batch: ``ids`` and ``labels`` follow the visual tokens; padding is cut off."""

    sample: int
    prompt: Prompt
    ids: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Taught:
    """What the language model gave for a batch, in the order of its conversations."""

    logits: list[Tensor]
    targets: list[Tensor]
    seg_states: list[Tensor]
    seg_places: list[Tensor]


def batch(checks: Checks, model: Converted, letter: str) -> None:
    """One reference batch, ``A`` or ``B``: states, masks, losses; for ``A`` gradients as well."""
    golden, name = checks.golden, f"train{letter}"
    checks.stage = f"training batch {letter}"
    model.model.train()
    model.model.requires_grad_(True)
    model.model.zero_grad()
    conversations = list(_conversations(golden, name))
    taught = _teach(golden, model, conversations)
    rows = torch.cat(taught.seg_states)
    logits = model.logits(rows)
    checks.close(f"{name}_logits_seg_rows", logits)
    mask = torch.zeros_like(golden.outputs[f"{name}_seg_token_mask"])
    for row, places in enumerate(taught.seg_places):
        mask[row, places] = 1
    checks.same(f"{name}_seg_token_mask", mask)
    prompts = model.prompts(rows)
    checks.close(f"{name}_seg_embeddings", prompts[:, 0])
    outputs, targets = _masks(checks, model, conversations, taught, prompts)
    weights = golden.config["loss"]
    weighting = LossWeights(
        text=weights["ce_loss_weight"], bce=weights["bce_loss_weight"], dice=weights["dice_loss_weight"]
    )
    parts = losses(outputs, targets, weighting)
    checks.stage = f"losses of batch {letter}"
    checks.close(f"{name}_ce_loss", parts["text"][None])
    checks.close(f"{name}_mask_bce_loss", parts["bce"][None])
    checks.close(f"{name}_mask_dice_loss", parts["dice"][None])
    checks.close(f"{name}_mask_loss", (parts["bce"] + parts["dice"])[None])
    checks.close(f"{name}_loss", parts["total"][None])
    if any(key.startswith(f"{name}_grad") for key in golden.outputs):
        checks.stage = f"gradients of batch {letter}"
        parts["total"].backward()
        _gradients(checks, model, name)
    model.model.zero_grad()
    model.model.eval()


def _conversations(golden: Golden, name: str) -> Iterator[Conversation]:
    offsets = golden.inputs[f"{name}_offset"].tolist()
    for row, real in enumerate(golden.inputs[f"{name}_attention_mask"]):
        ids = golden.inputs[f"{name}_input_ids"][row][: int(real.sum())]
        labels = golden.inputs[f"{name}_labels"][row][: int(real.sum())]
        prompt = golden.prompt(ids)
        sample = sum(row >= offset for offset in offsets[1:])
        begin = len(ids) - len(prompt.rest)
        yield Conversation(sample, prompt, ids[begin:], labels[begin:])


def _teach(golden: Golden, model: Converted, conversations: list[Conversation]) -> Taught:
    """Read all conversations; those whose prefixes are equally long are read as one batch."""
    lm = model.lm
    embed = lm.network.get_input_embeddings()
    with torch.no_grad():
        tokens = [
            visual_tokens(model, golden, image=each.prompt.image, reverse=each.sample > 0)
            for each in conversations
        ]
    groups: dict[tuple[int, int], list[int]] = {}
    for index, each in enumerate(conversations):
        groups.setdefault((len(each.prompt.head), tokens[index].shape[1]), []).append(index)
    found: dict[int, tuple[Tensor, Tensor, Tensor, Tensor]] = {}
    for members in groups.values():
        heads = embed(torch.tensor([conversations[i].prompt.head for i in members]))
        prefix = lm.prefix([heads, torch.cat([tokens[i] for i in members])])
        longest = max(len(conversations[i].ids) for i in members)
        ids = torch.zeros((len(members), longest), dtype=torch.long)
        learned = torch.zeros(ids.shape, dtype=torch.bool)
        for row, i in enumerate(members):
            own = conversations[i]
            ids[row, : len(own.ids)] = own.ids
            learned[row, : len(own.ids)] = own.labels != golden.config["ignore_index"]
        logits, states = lm.teach(prefix, torch.arange(len(members)), ids, learned)
        pieces = logits.split(learned.sum(1).tolist())
        for row, i in enumerate(members):
            places = rows_with(conversations[i].ids, golden.seg) - 1
            targets = ids[row][learned[row]]
            found[i] = (pieces[row], targets, states[row, places], prefix.length + places)
    ordered = [found[i] for i in range(len(conversations))]
    return Taught(*(list(column) for column in zip(*ordered, strict=True)))


def _masks(
    checks: Checks, model: Converted, conversations: list[Conversation], taught: Taught, prompts: Tensor
) -> tuple[Outputs, Batch]:
    """Masks of every sample, and the pairs of (object, frame) that the losses see."""
    golden, name = checks.golden, "train" + checks.stage[-1]
    counts = [len(states) for states in taught.seg_states]
    logits, targets = [], []
    begin = 0
    for sample in range(max(each.sample for each in conversations) + 1):
        count = sum(c for c, each in zip(counts, conversations, strict=True) if each.sample == sample)
        own, prompts = prompts[:count], prompts[count:]
        truth = golden.inputs[f"{name}_gt_masks_{sample}"]
        image = any(each.prompt.image for each in conversations if each.sample == sample)
        begin = 0 if image or sample == 0 else begin
        frames = golden.mask_frames[begin : begin + truth.shape[1]]
        begin += truth.shape[1]
        masks, _ = model.decoder(frames[None], own, torch.zeros(count, dtype=torch.long))
        key = f"{name}_low_res_mask_logits_{sample}_sub2"
        wanted = golden.outputs[key]
        checks.close(key, pick(masks.transpose(0, 1), wanted), wanted[:, :count])
        paired = min(count, len(truth))
        logits.append(masks[:paired].flatten(0, 1))
        targets.append(truth[:paired].flatten(0, 1))
    pairs, goals = torch.cat(logits)[:, None], torch.cat(targets)[:, None]
    none = torch.zeros(0)
    outputs = Outputs(torch.cat(taught.logits), torch.cat(taught.targets), none, pairs, none)
    return outputs, Batch([], none, none, none, none, none, none, goals)


def _gradients(checks: Checks, model: Converted, name: str) -> None:
    """Gradients of the total loss under the reference's names, and the norms of all of them."""
    found: dict[str, Tensor] = {}
    for key, parameter in model.model.named_parameters():
        move = VideoGlammConverter.move(key, back=True)
        if move is not None and parameter.grad is not None:
            found[move.theirs[0]] = parameter.grad
    outputs = checks.golden.outputs
    for key in sorted(outputs):
        if key.startswith(f"{name}_grad/"):
            checks.close(key, found[key.partition("/")[2]])
    tolerance = max(NOISE_FACTOR * checks.golden.noise.get(f"{name}_gradnorm/<key>", 0.0), RELATIVE)
    worst, error = "", 0.0
    for key, norm in outputs.items():
        if key.startswith(f"{name}_gradnorm/") and norm.item() >= NEGLIGIBLE:
            own = found[key.partition("/")[2]].norm().item()
            relative = abs(own - norm.item()) / norm.item()
            if relative >= error:
                worst, error = key, relative
    passed = bool(worst) and error <= tolerance
    checks.rows.append(Row(checks.stage, f"worst: {worst}", error, error, tolerance, passed))
