"""What a step of training teaches: answers, masks, words and prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import small_model
from torch.nn import functional as F
from training_runs import CONFIG, make_samples

from grounding_core.errors import CheckpointError, GroundingError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.masks import MaskTrack
from grounding_core.training.aligned import Aligned
from grounding_core.training.answers import AnswerItems, Answers, Names, collate, lookup
from grounding_core.training.config import LossWeights
from grounding_core.training.data import by_video
from grounding_core.training.losses import losses, mask_bce, mask_dice, mask_losses
from grounding_core.training.parts import recompute_activations
from grounding_core.training.prompts import Prompts
from grounding_core.training.vocabulary import clauses, save_word_prompts
from grounding_core.training.words import Words
from grounding_core.types import GroundedText, Span
from grounding_core.video import Video


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return make_samples(tmp_path_factory.mktemp("sprites"))


def test_training_learns_a_batch(samples: list[Sample], tmp_path: Path) -> None:
    model = small_model(tmp_path).train()
    item = AnswerItems(by_video(samples), model, CONFIG)[(0, 0)]
    assert not isinstance(item, str)
    batch = collate([item], model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    history = []
    for _ in range(12):
        parts = losses(model(batch), batch, CONFIG.losses)
        parts["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append({name: part.item() for name, part in parts.items()})
    for name in ("text", "bce", "dice"):
        assert history[-1][name] < 0.9 * history[0][name], name


def test_gradients_reach_every_part(samples: list[Sample], tmp_path: Path) -> None:
    model = small_model(tmp_path).train()
    items = [
        item
        for i in range(2)
        if not isinstance(item := AnswerItems(by_video(samples), model, CONFIG)[(0, i)], str)
    ]
    batch = collate(items, model)
    losses(model(batch), batch, CONFIG.losses)["total"].backward()
    for name, part in model.named_children():
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters()), name


def test_each_object_is_prompted_by_its_own_seg_token(samples: list[Sample], tmp_path: Path) -> None:
    """Sequences of different lengths are read apart; every prompt must still meet its own target."""
    model = small_model(tmp_path).train()
    dataset = AnswerItems(by_video(samples), model, CONFIG.model_copy(update={"queries": 6}))
    items = [item for i in range(3) if not isinstance(item := dataset[(0, i)], str)]
    batch = collate(items, model)
    assert len(batch.masks) == len(batch.seg) == sum(len(item.masks) for item in items)
    assert (batch.ids[batch.seg[:, 0], batch.seg[:, 1] + 1] == model.seg_id).all()
    seen: list[torch.Tensor] = []
    model.prompt_adapter.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    with torch.no_grad():
        model(batch)
        prefix, _ = model.read(batch.clips)
        _, states = model.language_model.teach(prefix, batch.rows, batch.ids, batch.learned)
    torch.testing.assert_close(seen[0], states[batch.seg[:, 0], batch.seg[:, 1]], atol=1e-4, rtol=1e-4)


def test_mask_losses_are_the_published_ones() -> None:
    """By hand: one object, one frame, four pixels."""
    logits = torch.tensor([[[[2.0, -1.0], [0.0, 3.0]]]])
    target = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    p = logits.sigmoid()
    expected = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
    torch.testing.assert_close(mask_bce(logits, target), expected)
    overlap, total = 2 * (p * target).sum() / 1000, (p.sum() + target.sum()) / 1000
    torch.testing.assert_close(mask_dice(logits, target), 1 - (overlap + 1e-6) / (total + 1e-6))
    assert mask_dice(torch.full((1, 1, 2, 2), -50.0), torch.zeros(1, 1, 2, 2)) < 1e-3
    assert F.binary_cross_entropy_with_logits(logits, target) > 0


def test_words_are_learned_where_they_are(samples: list[Sample], tmp_path: Path) -> None:
    model = small_model(tmp_path).train()
    config = CONFIG.model_copy(update={"objective": "words"})
    objective = Words(model, config, by_video([s for s in samples if s.query.kind == "describe"]))
    items = [objective.items[(0, i)] for i in range(3)]
    assert not any(isinstance(item, str) for item in items)
    batch = objective.collate(items)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=2e-3)
    history = []
    for _ in range(10):
        parts = objective(batch)
        parts["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append({name: part.item() for name, part in parts.items()})
    assert set(history[0]) == {"image_encoder", "video_encoder", "mask_decoder", "total"}
    for name in history[0]:
        assert history[-1][name] < 0.9 * history[0][name], name


def test_the_decoder_learns_what_words_point_at(samples: list[Sample], tmp_path: Path) -> None:
    model = small_model(tmp_path).train()
    config = CONFIG.model_copy(update={"objective": "prompts"})
    objective = Prompts(model, config, by_video([s for s in samples if s.query.kind == "describe"]))
    items = [objective.items[(0, i)] for i in range(2)]
    assert not any(isinstance(item, str) for item in items)
    for item in items:
        phrases = [query for query in item.queries if len(query) > 1]
        assert phrases and all([word] in item.queries for query in phrases for word in query)
        whole = dict(zip(map(tuple, item.queries), item.masks > 0, strict=True))
        assert all((whole[tuple(query)] <= whole[(word,)]).all() for query in phrases for word in query)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=2e-3)
    history = []
    for _ in range(10):
        parts = objective(objective.collate(items))
        parts["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append(parts["total"].item())
    assert history[-1] < 0.9 * history[0]


def test_prompts_approach_those_of_their_words(samples: list[Sample], tmp_path: Path) -> None:
    model = small_model(tmp_path).train()
    weights = LossWeights(bce=0, dice=0, prompt=4.0)
    config = CONFIG.model_copy(update={"losses": weights})
    with pytest.raises(CheckpointError, match=r"needs word prompts"):
        Answers(model, config, by_video(samples))
    save_word_prompts(["red", "cat", "horse"], torch.randn(3, 128), tmp_path / "before")
    objective = Answers(model, config, by_video(samples), str(tmp_path / "before"))
    items = [item for i in range(4) if not isinstance(item := objective.items[(0, i)], str)]
    taught = objective.collate(items)
    assert taught.known.any() and not taught.known.all()
    parts = objective(taught)
    assert set(parts) == {"text", "prompt", "total"}
    parts["prompt"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.prompt_adapter.parameters())
    assert all(p.grad is None for p in model.mask_decoder.parameters())


def test_words_that_describe_an_object() -> None:
    caption = GroundedText(
        "A red cat moves left while a large dog stays.",
        (Span(2, 9, (0,)), Span(29, 38, (1,))),
        tuple(MaskTrack(i, (1, 1), (None,)) for i in range(2)),
    )
    assert clauses(caption) == {
        0: (["red", "cat"], ["moves", "left", "while", "a"]),
        1: (["large", "dog"], ["stays"]),
    }


def test_answers_name_what_the_captions_name(samples: list[Sample], tmp_path: Path) -> None:
    model = small_model(tmp_path, 'prompts.answer="It is <p> {name} </p> [SEG]."').train()
    config = CONFIG.model_copy(update={"queries": 20})
    dataset = AnswerItems(by_video(samples), model, config)
    named = 0
    for index, group in enumerate(by_video(samples)):
        item = dataset[(0, index)]
        assert not isinstance(item, str)
        caption = next(s.load_truth().caption for s in group if s.query.kind == "describe")
        assert caption is not None
        phrases = {caption.text[span.start : span.end] for span in caption.spans}
        for query, answer in item.turns:
            if query.kind != "describe":
                name = answer.removeprefix("It is <p> ").removesuffix(" </p> [SEG].")
                named += name in phrases
                assert name in phrases or name == query.text
    assert named > 20


def test_several_objects_in_one_track_are_called_by_the_words_they_share() -> None:
    def mask(*columns: int) -> MaskTrack:
        frame = np.zeros((4, 6), dtype=bool)
        frame[:, list(columns)] = True
        return MaskTrack.from_masks(0, [frame])

    tracks = [replace(mask(column), id=column) for column in range(3)]
    caption = GroundedText(
        "A red cat, a red dog and a blue cat.",
        tuple(Span(*place, (i,)) for i, place in enumerate([(2, 9), (13, 20), (27, 35)])),
        tuple(tracks),
    )
    names = Names([Truth(tracks=tuple(tracks), caption=caption)], [0])
    assert names.phrase([tracks[1]]) == "red dog" and names.words(tracks[1]) == ["red", "dog"]
    assert names.phrase([mask(0, 1)]) == "" and names.words(mask(0, 1)) == ["red"]
    assert names.words(mask(0, 2)) == ["cat"]
    assert names.words(mask(4)) == []


def test_lookups_say_what_tells_an_object_from_the_others() -> None:
    text = "A red cat moves left while a large red dog stays."
    caption = GroundedText(
        text,
        (Span(2, 9, (0,)), Span(29, 42, (1,))),
        tuple(MaskTrack(id=i, size=(4, 4), frames=()) for i in range(2)),
    )
    found = {lookup(caption, np.random.default_rng(seed)) for seed in range(20)}
    assert len(found) > 10
    for line in found:
        first, second = sorted(sorted(words.split()) for words in line.split(",") if words.strip())
        assert (first, second) == (sorted(["cat", "moves", "left", "while", "a"]), ["dog", "large", "stays"])
    alike = GroundedText("a cat, a cat", (Span(2, 5, (0,)), Span(9, 12, (1,))), caption.tracks)
    assert not lookup(alike, np.random.default_rng(0)).strip(" ,a")


def test_lookups_are_learned_beside_questions(samples: list[Sample], tmp_path: Path) -> None:
    model = small_model(tmp_path).train()
    groups = by_video(samples)
    plain, item = (
        AnswerItems(groups, model, CONFIG.model_copy(update={"lookups": n}))[(0, 0)] for n in (0, 3)
    )
    assert not isinstance(item, str) and not isinstance(plain, str)
    assert len(item.lookups) == 3 and item.turns == plain.turns
    batch, without = collate([item], model), collate([plain], model)
    assert len(batch.ids) == len(without.ids) + 3 and torch.equal(batch.seg, without.seg)
    for row, text in enumerate(item.lookups, len(without.ids)):
        ids = model.language_model.tokenize(text)
        assert batch.ids[row, : len(ids)].tolist() == ids
        assert batch.learned[row].nonzero()[:, 0].tolist() == list(range(1, len(ids)))
    outputs = model(batch)
    assert len(outputs.targets) == int(batch.learned.sum()) > int(without.learned.sum())
    losses(outputs, batch, CONFIG.losses)["total"].backward()


def test_videos_of_different_sizes_meet_in_one_batch(samples: list[Sample], tmp_path: Path) -> None:
    model = small_model(tmp_path).train()
    items = [AnswerItems(by_video(samples), model, CONFIG)[(0, i)] for i in range(2)]
    small, large = (item for item in items if not isinstance(item, str))
    cut = replace(
        small, mask_frames=small.mask_frames[:, :64, :96], masks=[mask[:, :64, :96] for mask in small.masks]
    )
    batch = collate([cut, large], model)
    assert batch.mask_frames.shape[2:4] == large.mask_frames.shape[1:3]
    own = batch.masks[: len(small.masks)]
    assert (own[:, :, 64:] == -1).all() and (own[:, :, :64, 96:] == -1).all()
    assert torch.equal(own[:, :, :64, :96] > 0, torch.stack([torch.from_numpy(m) > 0 for m in cut.masks]))
    assert torch.isfinite(losses(model(batch), batch, CONFIG.losses)["total"])


def test_frames_and_pixels_that_nobody_annotated_teach_nothing(samples: list[Sample], tmp_path: Path) -> None:
    model = small_model(tmp_path).train()
    caption = next(sample for sample in samples if sample.query.kind == "describe")
    whole = caption.load_truth()
    size, length = whole.tracks[0].size, len(whole.tracks[0])
    seen = whole.tracks[0].visible()[0]
    half = np.zeros(size, dtype=bool)
    half[: size[0] // 2] = True
    void = MaskTrack.from_masks(0, [half] * length)
    sparse = replace(caption, load_truth=lambda: replace(whole, annotated=(seen,), ignored=void))
    shown = torch.from_numpy(caption.open_video().frames([seen] * CONFIG.mask_frames))
    answers = AnswerItems([[sparse]], model, CONFIG)[(0, 0)]
    prompts = Prompts(model, CONFIG.model_copy(update={"objective": "prompts"}), [[sparse]]).items[(0, 0)]
    assert not isinstance(answers, str) and torch.equal(answers.mask_frames, shown)
    assert torch.equal(prompts.frames, shown)
    both = [caption, replace(sparse, id="sparse")]
    item = AnswerItems([both], model, CONFIG.model_copy(update={"mask_frames": length}))[(0, 0)]
    assert not isinstance(item, str)
    count, lower = len(whole.tracks), size[0] // 2
    free, taught = collate([item], model).masks.split(count)
    others = [i for i in range(length) if i != seen]
    assert (free >= 0).all() and (taught[:, seen, lower:] >= 0).all()
    assert (taught[:, :, :lower] == -1).all() and (taught[:, others] == -1).all()
    logits, score = (torch.zeros(shape, requires_grad=True) for shape in (free.shape, free.shape[:2]))
    torch.stack(list(mask_losses(logits, score, taught, CONFIG.losses).values())).sum().backward()
    assert logits.grad is not None and score.grad is not None
    assert bool(logits.grad[:, seen, lower:].any()) and bool(score.grad[:, seen].any())
    logits.grad[:, seen, lower:] = 0
    assert not logits.grad.any() and not score.grad[:, others].any()


def test_single_images_are_taught_as_they_are_read(samples: list[Sample], tmp_path: Path) -> None:
    """By the image branch alone, also beside videos in one batch."""
    model = small_model(tmp_path, "sampling.single_image=image_branch").eval()
    first, second = by_video(samples)[:2]

    def as_image(sample: Sample) -> Sample:
        truth, still = sample.load_truth(), sample.open_video().frames([0])
        tracks = tuple(MaskTrack(track.id, track.size, track.frames[:1]) for track in truth.tracks)
        return replace(
            sample, open_video=lambda: Video.open(still), load_truth=lambda: replace(truth, tracks=tracks)
        )

    items = AnswerItems([first, [as_image(sample) for sample in second]], model, CONFIG)
    video, image = items[(0, 0)], items[(0, 1)]
    assert not isinstance(video, str) and not isinstance(image, str)
    with torch.no_grad():
        mixed = model(collate([video, image, video], model))
        alone = [model(collate([one], model)) for one in (video, image, video)]
        taught = model.visual_tokens([image.clip], single_image=True)
    read = model.encode(as_image(second[0]).open_video()).visual
    torch.testing.assert_close(taught, read)
    assert read.shape[1] < model.plan.visual_length
    for field in ("prompts", "masks"):
        apart = torch.cat([getattr(one, field) for one in alone])
        torch.testing.assert_close(getattr(mixed, field), apart, atol=1e-3, rtol=1e-3)
    apart = torch.cat([one.targets for one in alone])
    assert sorted(mixed.targets.tolist()) == sorted(apart.tolist())


def test_recomputing_activations_changes_no_gradient_and_keeps_less(
    samples: list[Sample], tmp_path: Path
) -> None:
    gradients, kept = [], []
    for again in (False, True):
        model = small_model(tmp_path).train()
        if again:
            recompute_activations(model)
        item = AnswerItems(by_video(samples), model, CONFIG)[(0, 0)]
        assert not isinstance(item, str)
        batch = collate([item], model)
        sizes: list[int] = []

        def weigh(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
            model(batch, masks=False)
        kept.append(sum(sizes))
        losses(model(batch), batch, CONFIG.losses)["total"].backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    parts = {name.split(".")[0] for name in gradients[0]}
    assert {"image_encoder", "video_encoder", "language_model"} <= parts
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(gradients[1][name], gradient) for name, gradient in gradients[0].items())
    assert kept[1] < kept[0] / 3


@pytest.mark.parametrize(("fusion", "taught"), [("add", {"both"}), ("concat", {"image", "video"})])
def test_visual_tokens_approach_the_embeddings_of_their_words(
    fusion: str, taught: set[str], samples: list[Sample], tmp_path: Path
) -> None:
    model = small_model(tmp_path, f"sampling.fusion={fusion}").train()
    captioned = by_video([s for s in samples if s.query.kind == "describe"])
    config = CONFIG.model_copy(update={"objective": "aligned"})
    frozen = [*model.image_encoder.parameters(), *model.language_model.parameters()]  # type: ignore[union-attr]
    for parameter in frozen:
        parameter.requires_grad_(False)
    objective = Aligned(model, config, captioned)
    items = [item for i in range(3) if not isinstance(item := objective.items[(0, i)], str)]
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-2)
    history = []
    for _ in range(25):
        parts = objective(objective.collate(items))
        parts["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append({name: part.item() for name, part in parts.items()})
    assert set(history[0]) == {*taught, *(f"{branch} length" for branch in taught), "total"}
    assert all(history[-1][name] < 0.95 * history[0][name] for name in history[0]), history
    assert all(p.grad is None for p in frozen)
    for adapter in (model.image_adapter, model.video_adapter):
        for parameter in adapter.parameters():  # type: ignore[union-attr]
            parameter.requires_grad_(False)
    with pytest.raises(GroundingError, match=r"No trained adapter"):
        Aligned(model, config, captioned)
