"""Training: exact resuming, what is learned, and what stops a run without harming it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import SMALL, small_model
from torch.nn import functional as F

from grounding_core import Query, Video
from grounding_core.config import Recipe
from grounding_core.errors import CheckpointError, DataError, GroundingError, VideoError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.masks import MaskTrack
from grounding_core.model import GroundingModel
from grounding_core.plugins import registry
from grounding_core.training.answers import AnswerItems, Answers, collate
from grounding_core.training.config import Lora, LossWeights, TrainConfig
from grounding_core.training.data import Schedule, by_video, pool
from grounding_core.training.loop import train
from grounding_core.training.losses import losses, mask_bce, mask_dice
from grounding_core.training.parts import recompute_activations
from grounding_core.training.prompts import Prompts
from grounding_core.training.vocabulary import clauses, load_word_prompts, save_word_prompts
from grounding_core.training.words import Words
from grounding_core.types import GroundedText, Span

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


def sources(samples: list[Sample]) -> dict[tuple[str, str], list[Sample]]:
    """As the command line hands them over."""
    found: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        task = "gcg" if sample.query.kind == "describe" else "refseg"
        found.setdefault(("sprites", task), []).append(sample)
    return found


def recipe(*overrides: str) -> Recipe:
    return Recipe.load("videoglamm-tiny", [*SMALL, "checkpoint=null", *overrides])


def rows(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_resumed_run_equals_an_uninterrupted_one(samples: list[Sample], tmp_path: Path) -> None:
    seen: list[Path] = []

    def judged(model: GroundingModel, picture: Path) -> dict[str, float]:
        assert not model.training
        seen.append(picture)
        return {"score": 0.5}

    whole = train(recipe(), CONFIG, sources(samples), tmp_path / "whole", validator=judged)
    # The schedule depends on the number of steps; with a plateau the first half is the same in both.
    first = CONFIG.model_copy(update={"steps": 2, "decay": 0})
    plateau = CONFIG.model_copy(update={"decay": 0})
    train(recipe(), first, sources(samples), tmp_path / "halves")
    halves = train(recipe(), plateau, sources(samples), tmp_path / "halves")
    again = train(recipe(), plateau, sources(samples), tmp_path / "again")
    a, b = load_file(halves / "model.safetensors"), load_file(again / "model.safetensors")
    assert all(torch.equal(a[key], b[key]) for key in a)
    losses_halves = [row["total"] for row in rows(tmp_path / "halves")]
    assert losses_halves == [row["total"] for row in rows(tmp_path / "again")]
    assert [row["step"] for row in rows(tmp_path / "halves")] == [1, 2, 3, 4]
    assert (whole / "tokenizer.json").is_file()
    assert seen == [tmp_path / "whole" / "pictures" / "0000004.png"]
    best = load_file(tmp_path / "whole" / "best" / "model.safetensors")
    assert all(torch.equal(best[key], value) for key, value in load_file(whole / "model.safetensors").items())
    assert any("validation" in row for row in rows(tmp_path / "whole"))


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
        train(recipe(), CONFIG.model_copy(update={"steps": 40}), sources(own), tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(samples: list[Sample], tmp_path: Path) -> None:
    train(recipe(), CONFIG.model_copy(update={"steps": 2}), sources(samples), tmp_path)
    kept = (tmp_path / "checkpoint" / "model.safetensors").read_bytes()
    with pytest.raises(GroundingError, match=r"loss is (nan|inf).* on \S+/"):
        train(
            recipe(),
            CONFIG.model_copy(update={"lr": 1e18, "steps": 30, "warmup": 0}),
            sources(samples),
            tmp_path,
        )
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == kept


def test_samples_without_masks_are_refused(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no training samples for the stage 'training'"):
        train(recipe(), CONFIG, sources([]), tmp_path)
    boxes = replace(samples[0], load_truth=lambda: Truth(boxes={0: (0, 0, 1, 1)}))
    with pytest.raises(DataError, match=r"has 0 tracks and no caption"):
        train(recipe(), CONFIG, sources([boxes]), tmp_path)


def test_unknown_frozen_roles_are_named(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(GroundingError, match=r"training.freeze names image_encode\b"):
        train(recipe(), CONFIG.model_copy(update={"freeze": ("image_encode",)}), sources(samples), tmp_path)


def test_frozen_parts_do_not_move(samples: list[Sample], tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"freeze": ("image_encoder", "mask_decoder"), "steps": 2})
    folder = train(recipe(), config, sources(samples), tmp_path / "run")
    one = load_file(folder / "model.safetensors")
    config = config.model_copy(update={"steps": 3})
    other = load_file(train(recipe(), config, sources(samples), tmp_path / "run") / "model.safetensors")
    moved = {key.split(".")[0] for key in one if not torch.equal(one[key], other[key])}
    assert moved and not moved & {"image_encoder", "mask_decoder"}


def test_masks_and_phrases_that_do_not_match_are_named(samples: list[Sample], tmp_path: Path) -> None:
    caption = next(sample for sample in samples if sample.query == Query("", "describe"))
    truth = caption.load_truth()
    assert truth.caption is not None
    doubled = replace(truth.caption, text=truth.caption.text + " [SEG]")
    wrong = replace(caption, load_truth=lambda: replace(truth, caption=doubled))
    with pytest.raises(DataError, match=r"mask tokens and \d tracks"):
        train(recipe(), CONFIG, sources([wrong]), tmp_path)
    assert isinstance(truth.tracks[0], MaskTrack)


def moved(a: Path, b: Path) -> set[str]:
    """Roles whose weights differ between two checkpoints."""
    one, two = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    assert set(one) == set(two)
    return {key.split(".")[0] for key in one if not torch.equal(one[key], two[key])}


STAGES = TrainConfig(
    **CONFIG.model_dump(exclude={"stages", "steps", "save_every"}),
    steps=1,
    stages=(
        {"name": "words", "objective": "words"},
        {"name": "prompts", "objective": "prompts"},
        {"name": "blind", "objective": "blind", "losses": {"prompt": 1.0}},
        {"name": "adapters", "freeze": ("language_model", "mask_decoder.network.vision_encoder")},
        {"name": "lora", "lora": {"rank": 2, "embeddings": False}, "freeze": ("mask_decoder",)},
    ),
)


@pytest.fixture(scope="module")
def staged(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("staged")
    assert train(recipe(), STAGES, sources(samples), out) == out / "5-lora" / "checkpoint"
    return out


def test_each_stage_teaches_its_parts(staged: Path) -> None:
    words, prompts, blind, adapters, lora = (
        staged / f"{i}-{stage['name']}" / "checkpoint" for i, stage in enumerate(STAGES.stages, start=1)
    )
    encoders = {"image_encoder", "video_encoder", "image_adapter", "video_adapter"}
    assert moved(words, prompts) == {"mask_decoder"}
    assert moved(prompts, blind) == {"language_model", "prompt_adapter", "mask_decoder"}
    assert moved(blind, adapters) == encoders | {"prompt_adapter", "mask_decoder"}
    assert moved(adapters, lora) == encoders | {"prompt_adapter", "language_model"}
    before, after = load_file(adapters / "model.safetensors"), load_file(lora / "model.safetensors")
    changed = {key for key in after if not torch.equal(before[key], after[key])}
    assert {key.rpartition(".qkv_proj")[1] for key in changed if key.startswith("language")} == {".qkv_proj"}
    first = load_file(words / "model.safetensors")
    still = [key for key in after if "mask_decoder.network.vision_encoder" in key]
    assert all(torch.equal(load_file(blind / "model.safetensors")[key], after[key]) for key in still)
    assert len(set(map(len, (first, before, after)))) == 1


def test_finished_stages_are_not_run_again(staged: Path, samples: list[Sample]) -> None:
    times = {path: path.stat().st_mtime_ns for path in staged.rglob("*.safetensors")}
    train(recipe(), STAGES, sources(samples), staged)
    assert times == {path: path.stat().st_mtime_ns for path in staged.rglob("*.safetensors")}


@pytest.mark.parametrize("precision", ["fp32", "int8", "nf4"])
def test_adapters_resume_exactly(samples: list[Sample], tmp_path: Path, precision: str) -> None:
    if precision != "fp32":
        pytest.importorskip("bitsandbytes", reason="8 and 4 bits need bitsandbytes")
    config = CONFIG.model_copy(update={"lora": Lora(rank=2, dropout=0.1), "decay": 0, "save_every": 1})
    short, long = (config.model_copy(update={"steps": steps}) for steps in (1, 2))
    own = recipe(f"language_model.precision={precision}")
    once = train(own, short, sources(samples), tmp_path / "once")
    shutil.copytree(tmp_path / "once", tmp_path / "halves")
    halves = train(own, long, sources(samples), tmp_path / "halves")
    whole = train(own, long, sources(samples), tmp_path / "whole")
    assert moved(once, whole)
    assert not moved(halves, whole)


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
    objective.keep(tmp_path / "after")
    again = load_word_prompts(tmp_path / "after")
    assert again is not None and again[0] == ["red", "cat", "horse"]


def test_words_that_describe_an_object() -> None:
    caption = GroundedText(
        "A red cat moves left while a large dog stays.",
        (Span(2, 9, (0,)), Span(29, 38, (1,))),
        tuple(MaskTrack(i, (1, 1), (None,)) for i in range(2)),
    )
    assert clauses(caption) == {
        0: ["red", "cat", "moves", "left", "while", "a"],
        1: ["large", "dog", "stays"],
    }


def test_a_mixture_draws_by_weight_and_names_what_it_lacks(samples: list[Sample]) -> None:
    other = [replace(sample, id=f"b{i}", video_id=f"b{i}") for i, sample in enumerate(samples[:3])]
    both = {**sources(samples), ("other", "refseg"): other}
    config = CONFIG.model_copy(update={"mixture": {"sprites": 3.0, "other": 1.0}, "steps": 300})
    found = pool(both, config)
    first, end, _ = found.shares[1]
    drawn = [index for batch in Schedule(found, config, start=0) for _, index in batch]
    assert 0.18 < sum(first <= index < end for index in drawn) / len(drawn) < 0.32
    late = [batch for batch in Schedule(found, config, start=290)]
    assert late == list(Schedule(found, config, start=0))[290:]
    halves = [list(Schedule(found, config, start=0, rank=rank, world=2)) for rank in range(2)]
    assert all(not set(a) & set(b) for a, b in zip(*halves, strict=True))
    with pytest.raises(DataError, match=r"mixture names cats, which has no samples"):
        pool(both, config.model_copy(update={"mixture": {"cats": 1.0}}))


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


def test_recomputing_activations_changes_no_gradient(samples: list[Sample], tmp_path: Path) -> None:
    gradients = []
    for again in (False, True):
        model = small_model(tmp_path).train()
        if again:
            recompute_activations(model)
        item = AnswerItems(by_video(samples), model, CONFIG)[(0, 0)]
        assert not isinstance(item, str)
        batch = collate([item], model)
        losses(model(batch), batch, CONFIG.losses)["total"].backward()
        gradients.append([p.grad for p in model.image_encoder.parameters() if p.grad is not None])  # type: ignore[union-attr]
    assert gradients[0] and all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_stages_need_names() -> None:
    with pytest.raises(ValueError, match=r"a name of its own"):
        TrainConfig(stages=({"steps": 1},))
    with pytest.raises(ValueError, match=r"step\b"):
        TrainConfig(stages=({"name": "a", "step": 1},))


def test_only_the_kinds_asked_for_are_learned(samples: list[Sample], tmp_path: Path) -> None:
    expressions = [sample for sample in samples if sample.query.kind != "describe"]
    with pytest.raises(DataError, match="no training samples for the stage 'training'"):
        train(recipe(), CONFIG.model_copy(update={"kinds": ("nothing",)}), sources(expressions), tmp_path)


def test_a_tracker_that_is_missing_is_named(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config = CONFIG.model_copy(update={"trackers": ("trackio",)})
    with pytest.raises(GroundingError, match=r"trackio, which is not installed"):
        train(recipe(), config, sources(samples), tmp_path)


def test_losses_go_to_tensorboard(samples: list[Sample], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    config = CONFIG.model_copy(update={"trackers": ("tensorboard",), "steps": 1})
    train(recipe(), config, sources(samples), tmp_path)
    events = list(tmp_path.rglob("events.out.tfevents.*"))
    assert any(b"dice" in file.read_bytes() for file in events)


@pytest.mark.slow
def test_two_processes_share_the_steps(tmp_path: Path) -> None:
    registry().load("dataset", "sprites")().prepare(tmp_path, split="val", videos=4)
    options = (*SMALL, "training.stages=[]", "training.steps=2", "training.validate_every=1")
    small = [word for item in (*options, "training.validate_videos=1") for word in ("--set", item)]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes=2"]
    command = ["-m", "grounding_core.cli", "train", "videoglamm-tiny", "--data", "sprites:val", *small]
    files = ["--data-root", str(tmp_path), "--out", str(tmp_path / "run"), "--validation", "sprites:val"]
    done = subprocess.run(
        [*launch, "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", *command, *files],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [row["step"] for row in rows(tmp_path / "run") if "total" in row] == [1, 2]
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()
