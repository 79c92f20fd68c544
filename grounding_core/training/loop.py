"""The training loop on accelerate: resumable, logged, with pictures as it goes."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch.utils.data import DataLoader

from grounding_core.checkpoint import save_weights
from grounding_core.compose import build_composed, plan
from grounding_core.config import Recipe
from grounding_core.errors import DataError, GroundingError
from grounding_core.interfaces.dataset import Sample
from grounding_core.model import GroundingModel
from grounding_core.training.config import TrainConfig
from grounding_core.training.data import Schedule, VideoItems, answer_of, by_video, collate
from grounding_core.training.losses import losses
from grounding_core.training.tokenizer import special_tokens, train_tokenizer
from grounding_core.training.validate import validate

CHECKPOINT = "checkpoint"
STATE = "state"
LOG = "metrics.jsonl"


def train(
    recipe: Recipe,
    config: TrainConfig,
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    out: Path,
    *,
    initial: str | None = None,
) -> Path:
    """Train a composed model, or go on where a run in the same folder stopped.

    Args:
        recipe: the model; its own ``checkpoint`` is not read, training starts from its parts' weights.
        config: how.
        samples: training samples with masks (refseg, gcg).
        validation: samples of another split.
        out: run folder: ``checkpoint/`` (weights and tokenizer), ``state/``, ``metrics.jsonl``, pictures.
        initial: checkpoint folder to start from instead (fine-tuning).

    Returns:
        The folder of the last checkpoint.

    Raises:
        GroundingError: no samples, a loss that is not finite, or too many videos that fail to decode.
    """
    if config.kinds is not None:
        samples = [s for s in samples if s.query.kind == "describe" or s.tags.get("kind") in config.kinds]
    if not samples:
        raise DataError("There are no training samples.", "Name data sets that have masks: refseg or gcg.")
    accelerator = Accelerator(
        mixed_precision=config.precision,
        gradient_accumulation_steps=config.accumulate,
        step_scheduler_with_optimizer=False,
        # A mask decoder may have parts that framewise training never reaches, such as its memory.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    console = Console(quiet=not accelerator.is_main_process)
    out.mkdir(parents=True, exist_ok=True)
    recipe = _with_tokenizer(recipe, config, samples, out, accelerator)
    set_seed(config.seed)
    model = build_composed(plan(recipe.model_copy(update={"checkpoint": initial})))
    parameters = _trainable(model, config, console)
    optimizer = torch.optim.AdamW(parameters, lr=config.lr, betas=config.betas)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, config))
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    done = _resume(accelerator, schedule, out, console)
    groups = by_video(samples)
    loader: DataLoader[Any] = DataLoader(
        VideoItems(groups, model, config),
        batch_sampler=Schedule(
            len(groups),
            config,
            start=done * config.accumulate,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        ),
        collate_fn=list,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
    )
    # Without it sums over threads differ in the last bit, and so a resumed run from an uninterrupted one.
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        _run(accelerator, console, wrapped, model, optimizer, schedule, loader, config, validation, out, done)
    finally:
        torch.use_deterministic_algorithms(before)
    return out / CHECKPOINT


def _run(
    accelerator: Accelerator,
    console: Console,
    wrapped: Any,
    model: GroundingModel,
    optimizer: Any,
    schedule: Any,
    loader: DataLoader[Any],
    config: TrainConfig,
    validation: Sequence[Sample],
    out: Path,
    done: int,
) -> None:
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    failures: list[str] = []
    seen = 0
    started, step = time.perf_counter(), done
    running: dict[str, float] = {}
    with Progress(*columns, console=console, disable=not accelerator.is_main_process) as progress:
        bar = progress.add_task("", total=config.steps, completed=done)
        for items in loader:
            good = [item for item in items if not isinstance(item, str)]
            failures += [item for item in items if isinstance(item, str)]
            seen += len(items)
            _check_failures(failures, seen, config, console)
            if not good:
                continue
            wrapped.train()
            with accelerator.accumulate(wrapped):
                batch = _to(collate(good, model, blind=step < config.blind_steps), accelerator.device)
                parts = losses(wrapped(batch), batch, config.losses)
                if not bool(torch.isfinite(parts["total"])):
                    raise GroundingError(
                        f"The loss is {parts['total'].item()} at step {step + 1}.",
                        "Lower training.lr; the last checkpoint is unharmed.",
                    )
                accelerator.backward(parts["total"])
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(wrapped.parameters(), config.clip)
                optimizer.step()
                optimizer.zero_grad()
            if not accelerator.sync_gradients:
                continue
            schedule.step()
            step += 1
            for name, value in parts.items():
                running[name] = 0.95 * running.get(name, value.item()) + 0.05 * value.item()
            progress.update(
                bar, completed=step, description=" ".join(f"{k} {v:.3f}" for k, v in running.items())
            )
            if accelerator.is_main_process:
                _log(
                    out,
                    step,
                    parts,
                    schedule,
                    (step - done) * config.videos / (time.perf_counter() - started),
                )
            last = step == config.steps
            if step % config.save_every == 0 or last:
                _save(accelerator, model, out, step)
            if accelerator.is_main_process and validation and (step % config.validate_every == 0 or last):
                report = validate(
                    model.eval(), validation, config.validate_videos, out / "pictures" / f"{step:07d}.png"
                )
                _append(out, {"step": step, "validation": report})
                console.print(
                    f"step {step}: " + ", ".join(f"{kind} {value:.3f}" for kind, value in report.items())
                )


def _check_failures(failures: Sequence[str], seen: int, config: TrainConfig, console: Console) -> None:
    if failures and len(failures) > max(1, config.max_failures * seen):
        raise DataError(
            f"{len(failures)} of {seen} videos can't be used, more than training.max_failures allows; "
            f"the last: {failures[-1]}",
            "Repair or leave out what is broken.",
        )


def _with_tokenizer(
    recipe: Recipe, config: TrainConfig, samples: Sequence[Sample], out: Path, accelerator: Accelerator
) -> Recipe:
    """The recipe with a tokenizer trained on the samples, if the configuration asks for one."""
    if config.tokenizer_vocabulary is None or recipe.language_model is None:
        return recipe
    assert recipe.prompts is not None and recipe.seg is not None
    folder = out / CHECKPOINT
    if accelerator.is_main_process and not (folder / "tokenizer.json").is_file():
        prompts, token = recipe.prompts, recipe.seg.token
        texts = [prompts.question(sample.query.kind, sample.query.text) for sample in samples]
        texts += [
            answer_of(sample, sample.load_truth(), prompts.answer, token)[0].replace(token, "")
            for sample in samples
        ]
        special = [*special_tokens(prompts.layout, prompts.turn), token]
        train_tokenizer(texts, folder, vocabulary=config.tokenizer_vocabulary, special=special)
    accelerator.wait_for_everyone()
    part = recipe.language_model.model_copy()
    options = {**part.options, "tokenizer": str(folder)}
    return recipe.model_copy(update={"language_model": type(part)(type=part.type, **options)})


def _trainable(model: GroundingModel, config: TrainConfig, console: Console) -> list[dict[str, Any]]:
    """Parameter groups of what trains; shows the list before the first step."""
    table = Table("part", "parameters", "trained", title="What is trained")
    unknown = set(config.freeze) - {name for name, _ in model.named_children()}
    if unknown:
        raise GroundingError(
            f"training.freeze names {', '.join(sorted(unknown))}.", "Use roles of the recipe."
        )
    for name, part in model.named_children():
        part.requires_grad_(name not in config.freeze)
        count = sum(p.numel() for p in part.parameters())
        table.add_row(name, f"{count:,}", "yes" if name not in config.freeze else "no")
    console.print(table)
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise GroundingError("Every part is frozen.", "Take a role out of training.freeze.")
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


def _rate(step: int, config: TrainConfig) -> float:
    """Share of the peak learning rate at a step: linear warm-up, plateau, linear decay."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    decay = config.steps - config.warmup if config.decay is None else config.decay
    return max(0.0, min(1.0, (config.steps - step) / max(decay, 1)))


def _to(batch: Any, device: torch.device) -> Any:
    moved = {
        name: value.to(device) if isinstance(value, torch.Tensor) else [part.to(device) for part in value]
        for name, value in vars(batch).items()
    }
    return type(batch)(**moved)


def _save(accelerator: Accelerator, model: GroundingModel, out: Path, step: int) -> None:
    """Weights for use and full state for resuming; each replaces the old one only when it is complete."""
    accelerator.wait_for_everyone()
    partial = out / f".{STATE}-{step}"
    accelerator.save_state(str(partial))
    if accelerator.is_main_process:
        (partial / "progress.json").write_text(json.dumps({"step": step}))
        save_weights(model, out / CHECKPOINT, dtype=torch.float16)
        final, old = out / STATE, out / f".{STATE}-old"
        shutil.rmtree(old, ignore_errors=True)
        if final.exists():
            os.replace(final, old)
        os.replace(partial, final)
        shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()


def _resume(accelerator: Accelerator, schedule: Any, out: Path, console: Console) -> int:
    """Steps done by an earlier run in this folder, whose state is then loaded."""
    folder = next((f for f in (out / STATE, out / f".{STATE}-old") if (f / "progress.json").is_file()), None)
    if folder is None:
        return 0
    accelerator.load_state(str(folder))
    done = int(json.loads((folder / "progress.json").read_text())["step"])
    schedule.last_epoch = done
    for group, base, rate in zip(
        schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True
    ):
        group["lr"] = base * rate(schedule.last_epoch)
    console.print(f"going on after step {done}")
    return done


def _log(
    out: Path, step: int, parts: dict[str, torch.Tensor], schedule: Any, videos_per_second: float
) -> None:
    row = {"step": step, "lr": schedule.get_last_lr()[0], "videos_per_s": round(videos_per_second, 3)}
    _append(out, row | {name: round(value.item(), 6) for name, value in parts.items()})


def _append(out: Path, row: dict[str, Any]) -> None:
    with open(out / LOG, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
