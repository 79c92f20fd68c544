"""Where a model computes."""

from __future__ import annotations

import os
from typing import Any

from grounding_core.errors import GroundingError


def default_device() -> str:
    """A GPU where PyTorch sees one, else the CPU; of several GPUs a process takes the one of its rank."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    # Processes of one machine (torchrun, accelerate) each take a GPU of their own.
    return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"


def place(model: Any, device: str | None) -> None:
    """Send a model's weights to a device. One that has none, or sees to them itself, has no method ``to``.

    Args:
        model: composed or whole.
        device: as PyTorch names it (``cpu``, ``cuda``, ``cuda:1``, ``mps``); None: `default_device`.

    Raises:
        GroundingError: there is no such device, or no room on it.
    """
    if not hasattr(model, "to"):
        return
    chosen = device or default_device()
    try:
        model.to(chosen)
    except (RuntimeError, AssertionError) as error:
        raise GroundingError(
            f"Can't put the model on the device {chosen}: {str(error).strip().splitlines()[0]}",
            "Name another: `grounding doctor` lists what PyTorch sees.",
        ) from error
