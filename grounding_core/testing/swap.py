"""Is a recipe with a part swapped a model that learns and answers?"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from grounding_core.compose import build_composed, plan
from grounding_core.config import Recipe
from grounding_core.model import Batch, GroundingModel
from grounding_core.testing.encoders import clip
from grounding_core.testing.mask_decoder import video
from grounding_core.types import GroundedText, Query


def random_model(recipe: Recipe) -> GroundingModel:
    """The recipe's model with random weights, or those its parts bring; the checkpoint is left aside."""
    torch.manual_seed(0)
    return build_composed(plan(recipe), weights=False)


def one_step(model: GroundingModel) -> dict[str, float]:
    """One training step on a noise video with one question and one object.

    Returns:
        The largest gradient in each part; a part that learns nothing has 0.
    """
    lm, seg = model.language_model, model.seg_id
    asked = lm.tokenize(model.question(Query("the cat")))
    answer = [*lm.tokenize(model.prompts.answer), lm.end_id]
    ids = torch.tensor([[*asked, *answer]])
    learned = torch.zeros_like(ids, dtype=torch.bool)
    learned[:, len(asked) :] = True
    place = len(asked) + answer.index(seg) - (1 if model.seg.state == "predicting" else 0)
    masks = torch.zeros(1, 2, 40, 56)
    masks[..., :20, :30] = 1
    outputs = model(
        Batch(
            clips=[clip(model.sampling.frames)],
            mask_frames=clip(2)[None],
            rows=torch.tensor([0]),
            ids=ids,
            lengths=torch.tensor([ids.shape[1]]),
            learned=learned,
            seg=torch.tensor([[0, place]]),
            masks=masks,
        )
    )
    logits = F.interpolate(outputs.masks, masks.shape[-2:], mode="bilinear")
    loss = F.cross_entropy(outputs.tokens, outputs.targets)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    (loss + F.binary_cross_entropy_with_logits(logits, masks)).backward()
    optimizer.step()
    return {
        role: max(
            (float(p.grad.abs().max()) for p in getattr(model, role).parameters() if p.grad is not None),
            default=0.0,
        )
        for role in model.plan.parts
    }


def learns_and_answers(model: GroundingModel) -> GroundedText:
    """One training step on noise, and the answer to one question about 5 frames of it.

    Raises:
        AssertionError: a part learns nothing, or a track does not have a mask or a gap for each frame.
    """
    idle = [role for role, gradient in one_step(model).items() if not gradient > 0]
    assert not idle, f"no gradient reaches {', '.join(idle)}"
    answer = model.ground(video(5), "the cat")
    assert all(len(track) == 5 for track in answer.tracks), [len(track) for track in answer.tracks]
    return answer
