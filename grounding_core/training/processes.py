"""Several processes, whose weights may be spread by FSDP 2 or DeepSpeed: what accelerate leaves to us."""

from __future__ import annotations

import dataclasses
import os
from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, parse_flag_from_env
from transformers.integrations import unset_hf_deepspeed_config

from grounding_core.compose import build_composed, plan
from grounding_core.config import Recipe
from grounding_core.errors import GroundingError
from grounding_core.model import GroundingModel
from grounding_core.training.config import TrainConfig
from grounding_core.training.objective import Objective

SPREAD = {DistributedType.FSDP, DistributedType.DEEPSPEED}
"""Here no process holds all weights: validation reads those that were saved."""


def on_cpu() -> bool:
    """Whether to train on the CPU.

    Only when told so does accelerate see that a launcher has started several processes there.
    """
    return parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()


def configure(accelerator: Accelerator, config: TrainConfig) -> None:
    """Complete the configuration of accelerate by what the stage says.

    Raises:
        GroundingError: it asks for the first FSDP.
    """
    if accelerator.distributed_type is DistributedType.FSDP:
        plugin = accelerator.state.fsdp_plugin
        if plugin.fsdp_version != 2:
            raise GroundingError(
                "accelerate's configuration asks for FSDP 1.", "Put `fsdp_version: 2` into its fsdp_config."
            )
        # It fails on buffers such as running means, and `keep_visual` encodes before weights are spread.
        plugin.cpu_ram_efficient_loading = False
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"  # what transformers looks at
        policy = plugin.mixed_precision_policy
        if policy is not None:
            # Else the losses themselves are rounded.
            plugin.mixed_precision_policy = dataclasses.replace(policy, output_dtype=torch.float32)
    if accelerator.distributed_type is DistributedType.DEEPSPEED:
        known = accelerator.deepspeed_plugin.deepspeed_config
        known |= {
            "train_micro_batch_size_per_gpu": config.videos,
            "train_batch_size": config.videos * config.accumulate * accelerator.num_processes,
            "gradient_accumulation_steps": config.accumulate,
            "gradient_clipping": config.clip,
        }
        # Checkpoints hold whole weights.
        known["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True


def build(accelerator: Accelerator, recipe: Recipe) -> GroundingModel:
    """A composed model with all its weights in this process."""
    if accelerator.distributed_type is DistributedType.DEEPSPEED:
        # With ZeRO-3 transformers would spread each part as it is made, before its weights are read.
        unset_hf_deepspeed_config()
    return build_composed(plan(recipe))


def arithmetic(accelerator: Accelerator, config: TrainConfig) -> AbstractContextManager[Any]:
    """A forward pass's precision; under FSDP 2 and DeepSpeed accelerate sees to that of the weights alone."""
    if accelerator.distributed_type is DistributedType.DEEPSPEED and config.precision != "no":
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[config.precision]
        return torch.autocast(accelerator.device.type, dtype)
    autocast: AbstractContextManager[Any] = accelerator.autocast()
    return autocast


def prepare(
    accelerator: Accelerator, objective: Objective, optimizer: torch.optim.Optimizer
) -> tuple[Any, Any]:
    """Both as accelerate wraps them."""
    wrapped, own = accelerator.prepare(objective, optimizer)
    if accelerator.distributed_type is DistributedType.FSDP:
        # AdamW's state before a first gradient, for all parameters. Those that never get one, such as a mask
        # decoder's memory in framewise training, would have none, and FSDP misses it in a saved state.
        for parameter in (p for group in own.param_groups for p in group["params"]):
            own.state[parameter] = {
                "step": torch.tensor(0.0),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
    return wrapped, own
