"""Training runs: exact resuming, stages, processes, and what stops a run without harming it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from accelerate.utils import DistributedType
from rich.console import Console
from safetensors.torch import load_file
from small import small_model
from torch import nn
from training_runs import CONFIG, make_samples, recipe, rows, sources

from grounding_core import DEFAULT_RECIPE, Query, Video
from grounding_core.config import Recipe
from grounding_core.errors import CheckpointError, DataError, GroundingError, VideoError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.masks import MaskTrack
from grounding_core.model import GroundingModel
from grounding_core.training.config import Lora, TrainConfig
from grounding_core.training.data import Schedule, pool
from grounding_core.training.initial import initial_checkpoint
from grounding_core.training.journal import mean
from grounding_core.training.loop import train
from grounding_core.training.parts import choose_parts, rest_frozen
from grounding_core.training.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return make_samples(tmp_path_factory.mktemp("sprites"))


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


def test_a_run_starts_from_a_folder_or_a_recipe(tmp_path: Path) -> None:
    folder = initial_checkpoint(DEFAULT_RECIPE)
    assert (Path(folder) / "model.safetensors").is_file()
    assert initial_checkpoint(folder) == folder
    for source, fault in (
        (str(tmp_path), "no model.safetensors"),
        ("videoglamm", "names no checkpoint"),
        ("nowhere", "neither a folder with weights nor an installed recipe"),
    ):
        with pytest.raises(CheckpointError, match=fault):
            initial_checkpoint(source)


def test_a_run_that_began_with_another_tokenizer_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    train_tokenizer(["red cat"], tmp_path / "checkpoint", vocabulary=300, special=["<|end|>"])
    with pytest.raises(GroundingError, match=r"is not that of .*videoglamm-tiny: the run there began"):
        train(recipe(), CONFIG, sources(samples), tmp_path, initial=DEFAULT_RECIPE)


def broken(sample: Sample) -> Sample:
    def fail() -> Video:
        raise VideoError("clip.mp4 is damaged.", "Fetch it again.")

    return replace(sample, id="broken/0", video_id="broken", open_video=fail)


def test_too_many_broken_videos_stop_the_run_and_name_one(samples: list[Sample], tmp_path: Path) -> None:
    own = [replace(samples[0], video_id="fine"), broken(samples[-1])]
    with pytest.raises(DataError, match=r"broken/0: clip\.mp4 is damaged"):
        train(recipe(), CONFIG.model_copy(update={"steps": 40}), sources(own), tmp_path)


def test_batches_of_broken_videos_alone_are_no_steps(samples: list[Sample], tmp_path: Path) -> None:
    own = [replace(samples[0], video_id="fine"), broken(samples[-1])]
    config = CONFIG.model_copy(update={"videos": 1, "max_failures": 0.9})
    train(recipe(), config, sources(own), tmp_path)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4]
    assert (tmp_path / "checkpoint" / "model.safetensors").is_file()


def test_processes_that_decode_change_nothing(samples: list[Sample], tmp_path: Path) -> None:
    for workers in (0, 2):
        config = CONFIG.model_copy(update={"steps": 2, "workers": workers})
        train(recipe(), config, sources(samples), tmp_path / str(workers))
    alone, helped = ([row["total"] for row in rows(tmp_path / str(workers))] for workers in (0, 2))
    assert alone == helped


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


KEPT = {"freeze": ("image_encoder", "video_encoder", "image_adapter", "video_adapter"), "decay": 0}


def test_kept_visual_tokens_teach_what_clips_teach(samples: list[Sample], tmp_path: Path) -> None:
    plain = CONFIG.model_copy(update=KEPT)
    kept = plain.model_copy(update={"keep_visual": True})
    for name, config in (("plain", plain), ("kept", kept)):
        train(recipe(), config, sources(samples), tmp_path / name)
    losses = [[row["total"] for row in rows(tmp_path / name)] for name in ("plain", "kept")]
    # They are float16.
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert not (tmp_path / "kept" / "visual").exists()


def test_kept_visual_tokens_are_made_once(samples: list[Sample], tmp_path: Path) -> None:
    words = {"bce": 0.0, "dice": 0.0, "visible": 0.0}
    config = CONFIG.model_copy(
        update={
            **KEPT,
            "keep_visual": True,
            "steps": 40,
            "losses": CONFIG.losses.model_copy(update=words),
        }
    )
    asked = {sample.video_id: sample for sample in samples if sample.query.kind != "describe"}
    own = list(asked.values())[:3]
    with pytest.raises(DataError, match=r"broken/0: clip\.mp4 is damaged"):
        train(recipe(), config, sources([*own, broken(samples[-1])]), tmp_path)
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "visual").iterdir()}
    assert len(made) == len(own)
    lost = sorted(made)[1]
    (tmp_path / "visual" / lost).unlink()
    with pytest.raises(DataError, match="is damaged"):
        train(recipe(), config, sources([*own, broken(samples[-1])]), tmp_path)
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "visual").iterdir()}
    assert made.keys() == again.keys()
    assert {name for name in made if made[name] != again[name]} == {lost}
    # A run on other videos, in the same folder, has its own.
    other = list(asked.values())[3:4]
    with pytest.raises(DataError, match="is damaged"):
        train(recipe(), config, sources([*other, *own[:1], broken(samples[-1])]), tmp_path)
    assert len(list((tmp_path / "visual").iterdir())) == len(own) + 1


def test_visual_tokens_that_change_are_not_kept(samples: list[Sample], tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={**KEPT, "freeze": KEPT["freeze"][:3], "keep_visual": True})
    with pytest.raises(GroundingError, match=r"keep_visual: video_adapter would be trained"):
        train(recipe(), config, sources(samples), tmp_path)


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


def test_word_prompts_go_from_stage_to_stage(staged: Path) -> None:
    kept = [staged / f"{i}-{stage['name']}" / "checkpoint" for i, stage in enumerate(STAGES.stages, start=1)]
    prompts, *later = (load_file(folder / "words.safetensors")["prompts"] for folder in kept[1:])
    assert later and all(torch.equal(prompts, own) for own in later)


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


def test_a_mixture_draws_by_weight_and_names_what_it_lacks(samples: list[Sample]) -> None:
    other = [replace(sample, id=f"b{i}", video_id=f"b{i}") for i, sample in enumerate(samples[:3])]
    both = {**sources(samples), ("other", "refseg"): other}
    config = CONFIG.model_copy(update={"mixture": {"sprites": 3.0, "other": 1.0}})
    found = pool(both, config)
    first, end, _ = found.shares[1]
    batches = list(islice(Schedule(found, config, start=0), 300))
    drawn = [index for batch in batches for _, index in batch]
    assert 0.18 < sum(first <= index < end for index in drawn) / len(drawn) < 0.32
    assert list(islice(Schedule(found, config, start=290), 10)) == batches[290:]
    halves = [list(islice(Schedule(found, config, start=0, rank=rank, world=2), 300)) for rank in range(2)]
    assert all(not set(a) & set(b) for a, b in zip(*halves, strict=True))
    with pytest.raises(DataError, match=r"mixture names cats, which has no samples"):
        pool(both, config.model_copy(update={"mixture": {"cats": 1.0}}))


@pytest.mark.parametrize("mixture", [{}, {"sprites": 0}, {"sprites": -1}, {"sprites": float("nan")}])
def test_shares_that_mean_nothing_are_refused(mixture: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="mixture"):
        TrainConfig(mixture=mixture)


def test_losses_are_those_of_all_batches_of_a_step(samples: list[Sample], tmp_path: Path) -> None:
    """Nothing learns at a rate this small, so a step of two batches has the mean of two steps of one."""
    still = CONFIG.model_copy(update={"lr": 1e-12, "decay": 0})
    train(recipe(), still, sources(samples), tmp_path / "one")
    train(
        recipe(), still.model_copy(update={"steps": 2, "accumulate": 2}), sources(samples), tmp_path / "two"
    )
    one, two = ([row["total"] for row in rows(tmp_path / name)] for name in ("one", "two"))
    assert two == pytest.approx([(one[0] + one[1]) / 2, (one[2] + one[3]) / 2], rel=1e-5)


def test_a_first_validation_without_a_number_is_not_the_best(samples: list[Sample], tmp_path: Path) -> None:
    told = iter([float("nan"), 0.5, 0.4, 0.7])
    config = CONFIG.model_copy(update={"validate_every": 1})
    train(recipe(), config, sources(samples), tmp_path, validator=lambda *_: {"score": next(told)})
    assert json.loads((tmp_path / "state" / "progress.json").read_text())["best"] == 0.7


def test_frozen_parts_work_as_in_use(tmp_path: Path) -> None:
    model = small_model(tmp_path)
    model.image_encoder.add_module("norm", nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5)))
    frozen = ("image_encoder", "language_model.network.model.embed_tokens")
    config = CONFIG.model_copy(update={"freeze": frozen})
    choose_parts(model, config, Console(quiet=True))
    model.train()
    rest_frozen(model, config)
    assert not any(module.training for module in model.image_encoder.modules())
    assert model.video_encoder.training and model.language_model.network.model.layers.training


def test_stages_need_names() -> None:
    with pytest.raises(ValueError, match=r"a name of its own"):
        TrainConfig(stages=({"steps": 1},))
    with pytest.raises(ValueError, match=r"step\b"):
        TrainConfig(stages=({"name": "a", "step": 1},))


def test_stages_share_their_precision() -> None:
    with pytest.raises(ValueError, match="precision is the same for all stages"):
        TrainConfig(stages=({"name": "a"}, {"name": "b", "precision": "bf16"}))


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


def test_where_weights_are_spread_over_processes_the_saved_ones_are_judged(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One process stands in for FSDP, which accelerate has on accelerators alone.
    monkeypatch.setattr("grounding_core.training.loop.SPREAD", {DistributedType.NO})
    judged: list[bool] = []

    def validator(model: GroundingModel, picture: Path) -> dict[str, float]:
        saved = load_file(tmp_path / "checkpoint" / "model.safetensors")
        own = model.state_dict()
        judged.append(all(torch.equal(own[name].half(), saved[name].half()) for name in saved))
        return {"score": len(judged)}

    config = CONFIG.model_copy(update={"steps": 2, "validate_every": 1, "save_every": 10})
    train(recipe(), config, sources(samples), tmp_path, validator=validator)
    assert judged == [True, True]
    assert (tmp_path / "best" / "model.safetensors").is_file()


@pytest.mark.slow
def test_the_shipped_curriculum_runs_from_nothing(samples: list[Sample], tmp_path: Path) -> None:
    shipped = Recipe.load(DEFAULT_RECIPE)
    stages = tuple({**stage, "steps": 1, "videos": 1} for stage in shipped.training.stages)
    config = shipped.training.model_copy(update={"stages": stages})
    last = train(shipped, config, sources(samples), tmp_path)
    assert last.parent.name == f"{len(stages)}-{stages[-1]['name']}"
    assert (last / "words.safetensors").is_file()


def test_the_losses_of_a_step_are_those_of_all_processes() -> None:
    shares = [{"text": 1.0, "total": 3.0}, {"text": 2.0, "prompt": 0.5, "total": 4.0}]
    assert mean(shares) == {"text": 1.5, "total": 3.5, "prompt": 0.5}
    assert mean(shares[:1]) == shares[0]
