"""Weights on disk: safetensors in a folder, written atomically, read strictly."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from grounding_core.errors import CheckpointError
from grounding_core.precision import materialise

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def weight_files(folder: str | Path) -> list[Path]:
    """The safetensors files of a checkpoint folder, one or several shards (Hugging Face layout).

    Raises:
        CheckpointError: the folder or a file is missing.
    """
    root = Path(folder)
    if (root / WEIGHTS).is_file():
        return [root / WEIGHTS]
    if (root / INDEX).is_file():
        names = sorted(set(json.loads((root / INDEX).read_text())["weight_map"].values()))
        files = [root / Path(name).name for name in names]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise CheckpointError(f"Checkpoint {root} lacks {', '.join(missing)}.", "Copy all shards there.")
        return files
    raise CheckpointError(
        f"Checkpoint {root} has no {WEIGHTS}.",
        "Train one with `grounding train`, or point `checkpoint` at a folder that has it.",
    )


def load_weights(module: nn.Module, folder: str | Path, *, absent: Collection[str] = ()) -> None:
    """Fill a module from a checkpoint folder; every key must fit and none may be missing.

    Args:
        module: what to fill, in its own number types; its parameters may be empty.
        folder: the checkpoint.
        absent: parts this module does without; their keys in the checkpoint are passed over.

    Raises:
        CheckpointError: a file is truncated, or keys or shapes differ; names the file and the key.
    """
    own: dict[str, Tensor] = module.state_dict(keep_vars=True)
    seen: set[str] = set()
    for file in weight_files(folder):
        try:
            with safe_open(file, "pt") as handle:
                for key in handle.keys():  # noqa: SIM118 (not a mapping)
                    if key.partition(".")[0] in absent:
                        continue
                    put(module, own, key, handle.get_tensor(key), file)
                    seen.add(key)
        except SafetensorError as error:
            raise CheckpointError(f"{file} is damaged: {error}.", "Fetch or write it again.") from error
    missing = sorted(set(own) - seen)
    if missing:
        raise CheckpointError(
            f"Checkpoint {folder} lacks {len(missing)} keys, the first is {missing[0]}.",
            "It was made for another recipe; use the recipe it was trained with.",
        )


def put(module: nn.Module, own: Mapping[str, Tensor], key: str, value: Tensor, file: Path) -> None:
    """Fill one weight of a module, in its own number type; ``own`` is its state with ``keep_vars``.

    Raises:
        CheckpointError: there is no such weight, or its shape differs; names the file it is from.
    """
    if key not in own:
        raise CheckpointError(
            f"{file} holds {key}, which this model does not have.", "Use the recipe it was trained with."
        )
    if own[key].shape != value.shape:
        raise CheckpointError(
            f"{file}: {key} has shape {tuple(value.shape)}, this model needs {tuple(own[key].shape)}.",
            "Use the recipe it was trained with.",
        )
    target = own[key]
    if isinstance(target, nn.Parameter) and target.is_meta:
        materialise(module, target, value)
        return
    with torch.no_grad():
        target.copy_(value)


def save_weights(
    state: Mapping[str, Tensor], folder: str | Path, *, dtype: torch.dtype | None = None
) -> Path:
    """Write ``model.safetensors`` below a folder, atomically.

    Args:
        state: weights by name, such as a module's ``state_dict()``.
        folder: made if it is missing.
        dtype: floating-point tensors are stored as this; None keeps their own.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    tensors = {
        key: (value.to(dtype) if dtype is not None and value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        .clone()
        for key, value in state.items()
    }
    partial = root / f".{WEIGHTS}.{os.getpid()}"
    save_file(tensors, partial)
    os.replace(partial, root / WEIGHTS)
    return root / WEIGHTS


def digest(folder: str | Path) -> str:
    """A hash over the weight files' bytes."""
    total = hashlib.sha256()
    for file in weight_files(folder):
        with open(file, "rb") as stream:
            total.update(
                hashlib.file_digest(stream, "sha256").digest()
                if hasattr(hashlib, "file_digest")
                else stream.read()
            )
    return total.hexdigest()[:16]
