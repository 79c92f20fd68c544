"""Weights by hub id or folder, through transformers, with errors that say what is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from grounding_core.errors import CheckpointError

T = TypeVar("T")


def from_pretrained(
    load: Callable[..., T], source: str, *, what: str, needs: str = "config.json", **options: Any
) -> T:
    """Call a ``from_pretrained`` of transformers.

    Args:
        load: e.g. ``CLIPVisionConfig.from_pretrained``.
        source: hub id, or folder.
        what: name of the thing in errors, e.g. "CLIP weights".
        needs: file that a folder must hold; transformers itself falls back to defaults without it.
        options: passed on.

    Under PyTorch's meta device, and where a checkpoint will fill it, a network is made from its config alone.
    Networks come in the number type of :func:`grounding_core.precision.read_in`.

    Raises:
        CheckpointError: the source can't be reached or read.
    """
    folder = Path(source).expanduser()
    remedy = f"Give a folder with {needs}, or a hub id that this machine can reach or has cached."
    if folder.is_absolute() and not (folder / needs).is_file():
        raise CheckpointError(f"{what}: {source} has no {needs}.", remedy)
    from grounding_core.precision import filled_later, reading_options

    is_network = _makes_network(load)
    try:
        if is_network and filled_later():
            network: Any = load.__self__  # type: ignore[attr-defined]
            found = from_pretrained(network.config_class.from_pretrained, source, what=what, needs=needs)
            taken = inspect.signature(network.__init__).parameters
            shaping = {key: value for key, value in options.items() if key in taken}
            return network(found, **shaping)  # type: ignore[no-any-return]
        if is_network:
            options |= reading_options()
        return load(str(folder) if folder.exists() else source, **options)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{what} {source!r} can't be read: {str(error).splitlines()[0]}", remedy
        ) from error


def _makes_network(load: Callable[..., Any]) -> bool:
    from torch.nn import Module

    network = getattr(load, "__self__", None)
    return isinstance(network, type) and issubclass(network, Module)
