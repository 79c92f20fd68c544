"""Training: exact resuming, what is learned, and what stops a run without harming it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import SMALL, small_model
from torch.nn import functional as F

from grounding_core import Query, Video
from grounding_core.config import Recipe
from grounding_core.errors import DataError, GroundingError, VideoError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.masks import MaskTrack
from grounding_core.plugins import registry
from grounding_core.training.config import LossWeights, TrainConfig
from grounding_core.training.data import VideoItems, by_video, collate
from grounding_core.training.loop import train
from grounding_core.training.losses import losses, mask_bce, mask_dice

CONFIG = TrainConfig(
    steps=4, videos=2, queries=3, mask_frames=2, lr=1e-3, warmup=2, save_every=2, validate_every=4,
    validate_videos=1, tokenizer_vocabulary=400, losses=LossWeights(visible=0.2),
)  # fmt: skip


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    root = tmp_path_factory.mktemp("sprites")
    registry().load("dataset", "sprites")().prepare(root, split="val", videos=5)
    found = [
        *registry().load("dataset", "mevis")(root).samples("refseg", "val"),
        *registry().load("dataset", "video-gcg")(root).samples("gcg", "val"),
    ]
    return list(found)


def recipe() -> Recipe:
    return Recipe.load("videoglamm-tiny", [*SMALL, "checkpoint=null"])


def rows(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_resumed_run_equals_an_uninterrupted_one(samples: list[Sample], tmp_path: Path) -> None:
    whole = train(recipe(), CONFIG, samples, [samples[-1], samples[0]], tmp_path / "whole")
    # The schedule depends on the number of steps; with a plateau the first half is the same in both.
    first = CONFIG.model_copy(update={"steps": 2, "decay": 0})
    plateau = CONFIG.model_copy(update={"decay": 0})
    train(recipe(), first, samples, [], tmp_path / "halves")
    halves = train(recipe(), plateau, samples, [], tmp_path / "halves")
    again = train(recipe(), plateau, samples, [], tmp_path / "again")
    a, b = load_file(halves / "model.safetensors"), load_file(again / "model.safetensors")
    assert all(torch.equal(a[key], b[key]) for key in a)
    losses_halves = [row["total"] for row in rows(tmp_path / "halves")]
    assert losses_halves == [row["total"] for row in rows(tmp_path / "again")]
    assert [row["step"] for row in rows(tmp_path / "halves")] == [1, 2, 3, 4]
    assert (whole / "tokenizer.json").is_file()
    assert (tmp_path / "whole" / "pictures" / "0000004.png").stat().st_size > 0
    assert any("validation" in row for row in rows(tmp_path / "whole"))


def test_training_learns_a_batch(samples: list[Sample], tmp_path: Path) -> None:
    model = small_model(tmp_path).train()
    item = VideoItems(by_video(samples), model, CONFIG)[(0, 0)]
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
        if not isinstance(item := VideoItems(by_video(samples), model, CONFIG)[(0, i)], str)
    ]
    batch = collate(items, model)
    losses(model(batch), batch, CONFIG.losses)["total"].backward()
    for name, part in model.named_children():
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters()), name


def test_each_object_is_prompted_by_its_own_seg_token(samples: list[Sample], tmp_path: Path) -> None:
    """Sequences of different lengths are read apart; every prompt must still meet its own target."""
    model = small_model(tmp_path).train()
    dataset = VideoItems(by_video(samples), model, CONFIG.model_copy(update={"queries": 6}))
    items = [item for i in range(3) if not isinstance(item := dataset[(0, i)], str)]
    batch = collate(items, model)
    assert len(batch.masks) == len(batch.seg) == sum(len(item.masks) for item in items)
    assert (batch.ids[batch.seg[:, 0], batch.seg[:, 1] + 1] == model.seg_id).all()
    seen: list[torch.Tensor] = []
    model.prompt_adapter.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    with torch.no_grad():
        model(batch)
        prefix = model.read(batch.clips)
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


def broken(sample: Sample) -> Sample:
    def fail() -> Video:
        raise VideoError("clip.mp4 is damaged.", "Fetch it again.")

    opened: list[Video] = []

    def once() -> Video:
        # Grouping opens a video for its name; decoding it is what fails.
        if not opened:
            opened.append(sample.open_video())
            return opened[0]
        return fail()

    return replace(sample, id="broken/0", video_id="broken", open_video=once)


def test_too_many_broken_videos_stop_the_run_and_name_one(samples: list[Sample], tmp_path: Path) -> None:
    own = [replace(samples[0], video_id="fine"), broken(samples[-1])]
    with pytest.raises(DataError, match=r"broken/0: clip\.mp4 is damaged"):
        train(recipe(), CONFIG.model_copy(update={"steps": 40}), own, [], tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(samples: list[Sample], tmp_path: Path) -> None:
    train(recipe(), CONFIG.model_copy(update={"steps": 2}), samples, [], tmp_path)
    kept = (tmp_path / "checkpoint" / "model.safetensors").read_bytes()
    with pytest.raises(GroundingError, match=r"loss is (nan|inf)"):
        train(
            recipe(), CONFIG.model_copy(update={"lr": 1e18, "steps": 30, "warmup": 0}), samples, [], tmp_path
        )
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == kept


def test_samples_without_masks_are_refused(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no training samples"):
        train(recipe(), CONFIG, [], [], tmp_path)
    boxes = replace(samples[0], load_truth=lambda: Truth(boxes={0: (0, 0, 1, 1)}))
    with pytest.raises(DataError, match=r"has 0 tracks and no caption"):
        train(recipe(), CONFIG, [boxes], [], tmp_path)


def test_unknown_frozen_roles_are_named(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(GroundingError, match=r"training.freeze names image_encode\b"):
        train(recipe(), CONFIG.model_copy(update={"freeze": ("image_encode",)}), samples, [], tmp_path)


def test_frozen_parts_do_not_move(samples: list[Sample], tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"freeze": ("image_encoder", "mask_decoder"), "steps": 2})
    folder = train(recipe(), config, samples, [], tmp_path / "run")
    one = load_file(folder / "model.safetensors")
    config = config.model_copy(update={"steps": 3})
    other = load_file(train(recipe(), config, samples, [], tmp_path / "run") / "model.safetensors")
    moved = {key.split(".")[0] for key in one if not torch.equal(one[key], other[key])}
    assert moved and not moved & {"image_encoder", "mask_decoder"}


def test_masks_and_phrases_that_do_not_match_are_named(samples: list[Sample], tmp_path: Path) -> None:
    caption = next(sample for sample in samples if sample.query == Query("", "describe"))
    truth = caption.load_truth()
    assert truth.caption is not None
    doubled = replace(truth.caption, text=truth.caption.text + " [SEG]")
    wrong = replace(caption, load_truth=lambda: replace(truth, caption=doubled))
    with pytest.raises(DataError, match=r"mask tokens and \d tracks"):
        train(recipe(), CONFIG, [wrong], [], tmp_path)
    assert isinstance(truth.tracks[0], MaskTrack)


def test_blind_steps_leave_the_encoders_alone(samples: list[Sample], tmp_path: Path) -> None:
    blind = CONFIG.model_copy(update={"steps": 2, "save_every": 1, "blind_steps": 2})
    one = load_file(
        train(recipe(), blind.model_copy(update={"steps": 1}), samples, [], tmp_path) / "model.safetensors"
    )
    two = load_file(train(recipe(), blind, samples, [], tmp_path) / "model.safetensors")
    three = load_file(
        train(recipe(), blind.model_copy(update={"steps": 3}), samples, [], tmp_path) / "model.safetensors"
    )

    def moved(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> set[str]:
        return {key.split(".")[0] for key in a if not torch.equal(a[key], b[key])}

    encoders = {"image_encoder", "video_encoder", "image_adapter", "video_adapter"}
    assert not moved(one, two) & encoders
    assert encoders <= moved(two, three)


def test_only_the_kinds_asked_for_are_learned(samples: list[Sample], tmp_path: Path) -> None:
    expressions = [sample for sample in samples if sample.query.kind != "describe"]
    with pytest.raises(DataError, match="no training samples"):
        train(recipe(), CONFIG.model_copy(update={"kinds": ("nothing",)}), expressions, [], tmp_path)
