"""Weights and whole models by hub id or folder, with errors that say what is wrong. No torch at import."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from grounding_core.errors import CheckpointError

T = TypeVar("T")

RECIPE = "recipe.yaml"
CARD = "README.md"
"""A model on the hub is a repository with these, ``model.safetensors`` and its tokenizer."""

FETCHED = (RECIPE, "*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
"""What is fetched of a model: values and weights, no code."""

_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w./-]+)?")


def is_hub_id(source: str) -> bool:
    """Whether a text looks like ``owner/name`` or ``owner/name@revision``."""
    return _ID.fullmatch(source) is not None


@cache
def fetch_model(source: str) -> Path:
    """The folder of a model on the hub, fetched into the hub's cache; with HF_HUB_OFFLINE, from it alone.

    Args:
        source: ``owner/name``, or ``owner/name@revision`` with a branch, tag or commit.

    Raises:
        CheckpointError: there is none, or it can't be reached and is not cached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = source.partition("@")
    remedy = "Check the name; private models need `hf auth login` or HF_TOKEN."
    try:
        folder = Path(snapshot_download(name, revision=revision or None, allow_patterns=list(FETCHED)))
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"There is no folder {source}, and the model {source} is not in the hub's cache nor reachable.",
            "Check the name and the network, or give a folder or an installed recipe.",
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise CheckpointError(
            f"The hub gives no model {source}: {str(error).splitlines()[0]}", remedy
        ) from error
    if not (folder / RECIPE).is_file():
        raise CheckpointError(
            f"{source} on the hub has no {RECIPE}.", "Name a model made by save_pretrained."
        )
    return folder


def from_pretrained(
    load: Callable[..., T],
    source: str,
    *,
    what: str,
    needs: str = "config.json",
    unused: Collection[str] = (),
    **options: Any,
) -> T:
    """Call a ``from_pretrained`` of transformers.

    Args:
        load: e.g. ``CLIPVisionConfig.from_pretrained``.
        source: hub id, or folder.
        what: name of the thing in errors, e.g. "CLIP weights".
        needs: file that a folder must hold; transformers itself falls back to defaults without it.
        unused: modules of a network that are never run, whose weights may be missing.
        options: passed on.

    Under PyTorch's meta device, and where a checkpoint will fill it, a network is made from its config alone.
    Networks come in the number type of `grounding_core.precision.read_in`.

    Raises:
        CheckpointError: the source can't be reached or read, or holds the weights of another network.
    """
    folder = Path(source).expanduser()
    remedy = f"Give a folder with {needs}, or a hub id that this machine can reach or has cached."
    if folder.is_absolute() and not (folder / needs).is_file():
        raise CheckpointError(f"{what}: {source} has no {needs}.", remedy)
    from grounding_core.precision import filled_later, reading_options

    place = str(folder) if folder.exists() else source
    try:
        if not _makes_network(load):
            return load(place, **options)
        if filled_later():
            network: Any = load.__self__  # type: ignore[attr-defined]
            found = from_pretrained(network.config_class.from_pretrained, source, what=what, needs=needs)
            taken = inspect.signature(network.__init__).parameters
            shaping = {key: value for key, value in options.items() if key in taken}
            return network(found, **shaping)  # type: ignore[no-any-return]
        made, facts = _read(load, place, f"{what} {source!r}", **options | reading_options())
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{what} {source!r} can't be read: {str(error).splitlines()[0]}", remedy
        ) from error
    _expect_all(made, facts, f"{what} {source!r}", unused)
    return made  # type: ignore[no-any-return]


def _makes_network(load: Callable[..., Any]) -> bool:
    from torch.nn import Module

    network = getattr(load, "__self__", None)
    return isinstance(network, type) and issubclass(network, Module)


def _read(load: Callable[..., Any], place: str, named: str, **options: Any) -> Any:
    """A network, and what transformers says of the keys."""
    try:
        return load(place, output_loading_info=True, ignore_mismatched_sizes=True, **options)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{named} do not fit: {reason}", "Fetch them again.") from error


def _expect_all(made: Any, facts: Mapping[str, Any], named: str, unused: Collection[str]) -> None:
    """Refuse what transformers itself fills with random numbers and a line in the log.

    It does not report tied weights, nor what it knows to be computed. Whole numbers in buffers (positions,
    counters of batches) are computed too, and old checkpoints may not hold them.
    """
    for key, theirs, ours in sorted(facts["mismatched_keys"]):
        raise CheckpointError(
            f"{named} do not fit {type(made).__name__}: {key} is {_shape(theirs)}, not {_shape(ours)}.",
            "They belong to another network, or config.json does.",
        )
    computed = {key for key, value in made.named_buffers() if not value.is_floating_point()}
    missing = [
        key
        for key in sorted(facts["missing_keys"])
        if key not in computed and set(key.split(".")).isdisjoint(unused)
    ]
    if missing:
        raise CheckpointError(
            f"{named} lack {len(missing)} keys of {type(made).__name__}.",
            f"They belong to another network; the first is {missing[0]}.",
        )


def _shape(sizes: Collection[int]) -> str:
    return " x ".join(map(str, sizes)) or "a number"
