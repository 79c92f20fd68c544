"""The training loop on accelerate: stage by stage, resumable, logged, with pictures as it goes."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    broadcast_object_list,
    gather_object,
    set_seed,
)
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.data import DataLoader

from grounding_core.config import Recipe
from grounding_core.errors import DataError, GroundingError
from grounding_core.model import GroundingModel
from grounding_core.training.aligned import Aligned
from grounding_core.training.answers import Answers
from grounding_core.training.config import TrainConfig
from grounding_core.training.data import FileIds, Pool, Schedule, Sources, pool
from grounding_core.training.initial import initial_checkpoint
from grounding_core.training.journal import Journal, line, mean
from grounding_core.training.objective import Objective
from grounding_core.training.parts import choose_parts, parameter_groups, recompute_activations, rest_frozen
from grounding_core.training.processes import SPREAD, arithmetic, build, configure, on_cpu, prepare
from grounding_core.training.prompts import Prompts
from grounding_core.training.state import CHECKPOINT, keep_best, note, progress_of, resume, save
from grounding_core.training.tokenizer import recipe_with_tokenizer
from grounding_core.training.vocabulary import carry_word_prompts
from grounding_core.training.words import Words

Validator = Callable[[GroundingModel, Path], Mapping[str, float]]
"""Given a model in evaluation mode and a PNG to write: numbers by name; the first one is to grow."""

OBJECTIVES: Mapping[str, Callable[..., Objective]] = {
    "aligned": Aligned,
    "answers": Answers,
    "blind": Answers,
    "prompts": Prompts,
    "words": Words,
}


def train(
    recipe: Recipe,
    config: TrainConfig,
    sources: Sources,
    out: Path,
    *,
    validator: Validator | None = None,
    initial: str | None = None,
) -> Path:
    """Train a composed model, or go on where a run in the same folder stopped.

    Args:
        recipe: the model; its own ``checkpoint`` is not read, training starts from its parts' weights.
        config: how; its stages run one after the other, each in a folder of its own below ``out``.
        sources: training samples with masks (refseg, gcg).
        out: run folder. In it, or in each stage's folder: ``checkpoint/`` (weights and tokenizer),
            ``best/`` (the checkpoint of the best validation), ``state/``, ``metrics.jsonl``, ``pictures/``.
        validator: judges the model as it goes.
        initial: what to start from instead (fine-tuning): a folder with weights, or a recipe that names one.

    Returns:
        The folder of the last checkpoint.

    Raises:
        CheckpointError: ``initial`` is neither, before anything is written.
        GroundingError: no samples, a loss that is not finite, or too many videos that fail to decode.
    """
    if initial is not None:
        initial = initial_checkpoint(initial)
    stages = config.staged()
    files: dict[str, FileIds] = {}
    found = [pool(sources, stage, files) for stage in stages]
    console = Console(stderr=True)
    # Each once, so that what is trained in several stages does not count more for the tokenizer.
    samples = list({id(sample): sample for own in found for group in own.groups for sample in group}.values())
    state = PartialState(cpu=on_cpu())
    for number, (stage, own) in enumerate(zip(stages, found, strict=True), start=1):
        folder = out / f"{number}-{stage.name}" if config.stages else out
        with state.main_process_first():
            recipe = recipe_with_tokenizer(
                recipe,
                samples,
                folder / CHECKPOINT,
                vocabulary=stage.tokenizer_vocabulary,
                initial=initial,
            )
            carry_word_prompts(initial, folder / CHECKPOINT)
        initial = str(_run_stage(recipe, stage, own, folder, validator, initial, console))
    return Path(str(initial))


def _run_stage(
    recipe: Recipe,
    config: TrainConfig,
    found: Pool,
    out: Path,
    validator: Validator | None,
    initial: str | None,
    console: Console,
) -> Path:
    before = progress_of(out)
    if before is not None and before["step"] >= config.steps:
        return out / CHECKPOINT
    out.mkdir(parents=True, exist_ok=True)
    for tracker in config.trackers:
        if importlib.util.find_spec(tracker) is None:
            raise GroundingError(
                f"training.trackers names {tracker}, which is not installed.", f"pip install {tracker}"
            )
    accelerator = Accelerator(
        cpu=on_cpu(),
        mixed_precision=config.precision,
        gradient_accumulation_steps=config.accumulate,
        step_scheduler_with_optimizer=False,
        log_with=list(config.trackers) or None,
        project_dir=str(out),
        # A mask decoder may have parts that framewise training never reaches, such as its memory.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    configure(accelerator, config)
    if config.trackers:
        accelerator.init_trackers(config.name)
    console.quiet = not accelerator.is_main_process
    processes = f", {accelerator.num_processes} processes" if accelerator.num_processes > 1 else ""
    console.rule(f"{config.name}: {config.steps} steps, {len(found.groups)} videos{processes}")
    set_seed(config.seed)
    model = build(accelerator, recipe.model_copy(update={"checkpoint": initial}))
    choose_parts(model, config, console)
    if accelerator.distributed_type in SPREAD:
        model.language_model.spread_weights()
    if config.recompute:
        recompute_activations(model)
    objective = OBJECTIVES[config.objective](model, config, found.groups, initial)
    optimizer: Any = torch.optim.AdamW(
        parameter_groups(objective, config.weight_decay), lr=config.lr, betas=config.betas
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, config))
    objective.begin(accelerator, out, console)
    wrapped, optimizer = prepare(accelerator, objective, optimizer)
    progress = resume(accelerator, schedule, out)
    loader: DataLoader[Any] = DataLoader(
        objective.items,
        batch_sampler=Schedule(
            found,
            config,
            start=progress["drawn"],
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        ),
        collate_fn=list,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
        # Its own, so that a resumed run draws the same numbers for dropout as an uninterrupted one.
        generator=torch.Generator(),
    )
    saved = recipe.model_copy(update={"checkpoint": str(out / CHECKPOINT)})
    stage = Stage(
        accelerator,
        console,
        wrapped,
        objective,
        optimizer,
        schedule,
        config,
        out,
        validator,
        saved,
        Journal(accelerator, out),
    )
    try:
        with _deterministic():
            stage.run(loader, progress)
        if accelerator.is_main_process:
            objective.end()
    finally:
        if config.trackers:
            accelerator.end_training()
    return out / CHECKPOINT


@contextmanager
def _deterministic() -> Iterator[None]:
    """Sums over threads in one order: else a resumed run differs from an uninterrupted one in a last bit."""
    before = torch.are_deterministic_algorithms_enabled()
    # PyTorch would also fill all new memory, for code that reads what it never wrote: some percent of a step.
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        memory.fill_uninitialized_memory = filled


@dataclass
class Stage:
    """One stage under way.

    Attributes:
        accelerator: of accelerate.
        console: where progress is shown.
        wrapped: the objective as accelerate prepared it.
        objective: what is trained.
        optimizer: prepared as well.
        schedule: of the learning rate.
        config: the stage's options.
        out: its folder.
        validator: judges the model, if any.
        saved: the recipe with the checkpoint that this stage writes.
        journal: where losses and validations are written.
        failures: a line for each video that could not be used, by any process.
        seen: videos drawn so far, by all processes.
        saved_at: the step of the last save.
    """

    accelerator: Accelerator
    console: Console
    wrapped: Any
    objective: Objective
    optimizer: Any
    schedule: Any
    config: TrainConfig
    out: Path
    validator: Validator | None
    saved: Recipe
    journal: Journal
    failures: list[str] = field(default_factory=list)
    seen: int = 0
    saved_at: int = 0

    def run(self, loader: DataLoader[Any], progress: dict[str, Any]) -> None:
        """All steps that are left; ``progress`` is what an earlier run had reached."""
        columns = (
            TextColumn(self.config.name),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        accelerator, config, begun = self.accelerator, self.config, progress["step"]
        started, running = time.perf_counter(), dict[str, float]()
        added: list[dict[str, float]] = []  # losses of the batches whose gradients make up one step
        if begun:
            self.console.print(f"going on after step {begun}")
        with Progress(*columns, console=self.console, disable=not accelerator.is_main_process) as bars:
            bar = bars.add_task("", total=config.steps, completed=begun)
            for items in loader:
                progress["drawn"] += 1
                usable = self._usable(items)
                if usable is None:
                    continue
                parts = self._step(usable)
                added.append({name: value.item() for name, value in parts.items()})
                if not accelerator.sync_gradients:
                    continue
                self.schedule.step()
                step = progress["step"] = progress["step"] + 1
                pace = (step - begun) * config.videos * config.accumulate * accelerator.num_processes
                pace /= time.perf_counter() - started
                values = mean(gather_object(added))
                added = []
                running = {k: 0.95 * running.get(k, v) + 0.05 * v for k, v in values.items()}
                bars.update(bar, completed=step, description=line(running, pace))
                self.journal.losses(step, self.schedule.get_last_lr()[0], values, pace)
                last = step == config.steps
                judged = self._validate(progress) if step % config.validate_every == 0 or last else None
                best = progress["best"]
                # The first may be NaN, where there was nothing to judge yet.
                better = judged is not None and (best is None or math.isnan(best) or judged > best)
                if better:
                    progress["best"] = judged
                if step % config.save_every == 0 or last or better:
                    self._save(progress)
                if better and accelerator.is_main_process:
                    keep_best(self.out)
                if last:
                    break
        if self.failures:
            self.console.print(f"{len(self.failures)} of {self.seen} videos were passed over:")
            self.console.print("\n".join(self.failures[-5:]), markup=False)

    def _usable(self, items: Sequence[Any]) -> list[Any] | None:
        """Items without those that failed to decode, which are counted.

        None where a process has nothing left: all leave the batch out, since they add up their gradients.

        Raises:
            DataError: too many failed.
            GroundingError: processes would have to read in different ways, and can't.
        """
        failed = [item for item in items if isinstance(item, str)]
        usable = [item for item in items if not isinstance(item, str)]
        everywhere = gather_object([(failed, len(items), self.objective.ways(usable))])
        self.failures += [line for lines, *_ in everywhere for line in lines]
        self.seen += sum(count for _, count, _ in everywhere)
        if self.failures and len(self.failures) > max(1, self.config.max_failures * self.seen):
            raise DataError(
                f"{len(self.failures)} of {self.seen} videos can't be used, more than training.max_failures "
                f"allows; the last: {self.failures[-1]}",
                "Repair or leave out what is broken.",
            )
        if any(len(lines) == count for lines, count, _ in everywhere):
            return None
        ways = {own for *_, own in everywhere}
        if self.accelerator.distributed_type in SPREAD and len(ways) > 1:
            met = ", ".join(" and ".join(sorted(own)) for own in ways)
            raise GroundingError(
                f"Processes that share weights differ in what they read ({met}) and would wait for ever.",
                "Train on images and on videos in stages of their own, or as sampling.single_image=as_video.",
            )
        return usable

    def _step(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Gradients of one batch, and an update if it is due; the losses.

        Raises:
            GroundingError: the loss is not finite.
        """
        accelerator = self.accelerator
        self.wrapped.train()
        rest_frozen(self.objective.model, self.config)
        with accelerator.accumulate(self.wrapped):
            batch = _moved(self.objective.collate(items), accelerator.device)
            with arithmetic(accelerator, self.config):
                parts: dict[str, torch.Tensor] = self.wrapped(batch)
            if not bool(torch.isfinite(parts["total"])):
                wrong = [name for name, value in parts.items() if not bool(torch.isfinite(value))]
                raise GroundingError(
                    f"The loss is {parts['total'].item()} ({', '.join(wrong)}) on "
                    f"{', '.join(item.id for item in items)}.",
                    "Look at these samples, or lower training.lr; the last checkpoint is unharmed.",
                )
            accelerator.backward(parts["total"])
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(self.wrapped.parameters(), self.config.clip)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return parts

    def _save(self, progress: dict[str, Any]) -> None:
        if self.saved_at < progress["step"]:
            save(self.accelerator, self.wrapped, self.objective, self.out, progress)
            self.saved_at = progress["step"]
        elif self.accelerator.is_main_process:
            note(self.out, progress)

    def _validate(self, progress: dict[str, Any]) -> float | None:
        """Judge the model on the main process; its first number, which all processes get."""
        if self.validator is None:
            return None
        model = self.objective.model
        if self.accelerator.distributed_type in SPREAD:
            self._save(progress)  # by all processes; the whole of the weights is nowhere but there
            if self.accelerator.is_main_process:
                model = build(self.accelerator, self.saved).to(self.accelerator.device)
        first: list[float | None] = [None]
        if self.accelerator.is_main_process:
            first = [self._judge(progress["step"], model, self.validator)]
        shared: list[float | None] = broadcast_object_list(first)
        return shared[0]

    def _judge(self, step: int, model: GroundingModel, validator: Validator) -> float | None:
        picture = self.out / "pictures" / f"{step:07d}.png"
        report = dict(validator(model.eval(), picture))
        self.journal.validation(step, report)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in report.items())
        self.console.print(f"step {step}: {shown}")
        return next(iter(report.values()), None)


def _rate(step: int, config: TrainConfig) -> float:
    """Share of the peak learning rate at a step: linear warm-up, plateau, linear decay."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    decay = config.steps - config.warmup if config.decay is None else config.decay
    return max(0.0, min(1.0, (config.steps - step) / max(decay, 1)))


def _moved(value: Any, device: torch.device) -> Any:
    """A batch on a device: tensors, and lists and data classes of them."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(part, device) for part in value)
    if hasattr(value, "__dataclass_fields__"):
        return type(value)(**{name: _moved(part, device) for name, part in vars(value).items()})
    return value
