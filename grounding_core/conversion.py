"""Converts another project's checkpoint with a mapping that a plugin declares, and back again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from glob import escape
from pathlib import Path
from tempfile import mkdtemp

import torch
import yaml
from torch import Tensor, nn

from grounding_core.checkpoint import put
from grounding_core.compose import build_composed, plan
from grounding_core.config import Recipe
from grounding_core.errors import CheckpointError
from grounding_core.hub import RECIPE
from grounding_core.interfaces.converter import Converter, Extra, Move, Rule, Shape, matches
from grounding_core.tensors import Stored, joined, open_tensors, read_json, split, write_file, write_tensors

CONFIG = "config.json"
ORIGIN = "reference.json"
"""The other project's ``config.json``, kept for the way back."""
ALLOW = "Allow them by name with --allow KEY."
UNUSED = "unused.safetensors"
"""The other project's tensors that have no place here, under its names, kept for the way back."""
TOKENIZER = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
PARTIAL = ".partial"
SHOWN = 5


@dataclass(frozen=True)
class Report:
    """What a conversion did.

    Attributes:
        written: tensors written.
        unused: keys without a place in the model, because no output depends on them or because that was
            allowed; kept in a file of their own.
        filled: our keys that the source lacks, which was allowed; written as zeros.
        tokenizer: True if the source came with tokenizer files, which were copied.
        files: the weight files.
    """

    written: int
    unused: tuple[str, ...]
    filled: tuple[str, ...]
    tokenizer: bool
    files: tuple[Path, ...]


def convert(
    converter: Converter,
    source: Path,
    out: Path,
    *,
    extras: Mapping[str, Path] | None = None,
    allow: Collection[str] = (),
) -> Report:
    """Write a folder with a recipe and its weights; it appears when it is complete.

    Args:
        converter: knows the source's layout.
        source: file or folder of the other project.
        out: folder to make; must not exist.
        extras: files beside the main checkpoint, by the name the converter gives them.
        allow: patterns of keys that may be left over there or missing here.

    Raises:
        CheckpointError: the source is damaged or something else, or keys or shapes do not fit; names file
            and key.
    """
    _refuse_existing(out)
    stored = open_tensors(source)
    for extra in converter.extras:
        if extras and extra.name in extras:
            _add(stored, open_tensors(extras[extra.name]), extra)
    folder = source if source.is_dir() else source.parent
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    facts = converter.read(config, {key: item.shape for key, item in stored.items()})
    wanted = converter.shapes(facts.recipe)
    tensors, used = _map(converter.move, stored, wanted)
    unknown = [key for key in stored if key not in used and not _any(key, facts.unused)]
    absent = sorted(set(wanted) - set(tensors))
    _refuse(f"{source} holds", "that this model has no place for", [k for k in unknown if not _any(k, allow)])
    lacking = _their_names(converter.move, [key for key in absent if not _any(key, allow)])
    options = ", ".join(f"--{extra.name} ({extra.about})" for extra in converter.extras)
    _refuse(
        f"{source} lacks",
        "that this model needs",
        lacking,
        f"They may be in another file: {options}. {ALLOW}",
    )
    for key in absent:
        tensors[key] = _zeros(source, wanted[key])
    left = {key: tensor for key, tensor in sorted(stored.items()) if key not in used}
    with _appearing(out) as partial:
        files = write_tensors(tensors, partial)
        if left:
            write_file(partial / UNUSED, left)
        names = _copy_tokenizer(folder, partial)
        recipe = {**facts.recipe, "checkpoint": "./"}
        text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=110)
        (partial / RECIPE).write_text(
            f"# Made by `grounding convert` from {source.name}.\n{text}", encoding="utf-8"
        )
        if config:
            (partial / ORIGIN).write_text(json.dumps(config, indent=1), encoding="utf-8")
    return Report(len(tensors), tuple(left), tuple(absent), names, tuple(out / file.name for file in files))


def convert_back(converter: Converter, source: Path, out: Path) -> Report:
    """The other project's layout again, every tensor of it, from a folder that `convert` wrote.

    Raises:
        CheckpointError: a key of ours has no name there.
    """
    _refuse_existing(out)
    stored = open_tensors(source)
    moves = {key: converter.move(key, back=True) for key in stored}
    _refuse(
        f"{source} holds", "that the other project has no name for", [k for k, m in moves.items() if not m]
    )
    tensors = open_tensors(source / UNUSED) if (source / UNUSED).is_file() else {}
    for move in {move.theirs: move for move in moves.values() if move}.values():
        parts = split(stored[move.ours[0]], len(move.theirs))
        tensors.update(zip(move.theirs, parts, strict=True))
    with _appearing(out) as partial:
        files = write_tensors(tensors, partial)
        names = _copy_tokenizer(source, partial)
        if (source / ORIGIN).is_file():
            shutil.copyfile(source / ORIGIN, partial / CONFIG)
    return Report(len(tensors), (), (), names, tuple(out / file.name for file in files))


def read_into(module: nn.Module, rules: Sequence[Rule], source: Path) -> None:
    """Fill a module with another project's checkpoint as it is; nothing is written.

    Args:
        module: what to fill, in its own number types; its parameters may be empty.
        rules: what the source's weights are called here; the first that fits a key counts.
        source: file or folder of the other project.

    Raises:
        CheckpointError: the source is damaged or something else, or keys or shapes do not fit; names file
            and key.
    """
    own: dict[str, Tensor] = module.state_dict(keep_vars=True)
    stored = open_tensors(source)
    move = partial(Converter.move, rules=rules)
    tensors, used = _map(move, stored, {key: tuple(value.shape) for key, value in own.items()})
    remedy = "It is a checkpoint of another model."
    _refuse(f"{source} holds", "that this model has no place for", sorted(set(stored) - used), remedy)
    filled = {id(own[key]) for key in tensors}  # tied weights have several names
    absent = [key for key, value in own.items() if id(value) not in filled]
    _refuse(f"{source} lacks", "that this model needs", _their_names(move, absent), remedy)
    for key, tensor in tensors.items():
        put(module, own, key, tensor.read(), tensor.file)


def shapes_of(recipe: Recipe) -> dict[str, Shape]:
    """Shapes of all tensors of a composed model, by key; builds it without weights or memory for them."""
    with torch.device("meta"):
        model = build_composed(plan(recipe), weights=False)
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def _map(
    move_of: Callable[..., Move | None], stored: Mapping[str, Stored], wanted: Mapping[str, Shape]
) -> tuple[dict[str, Stored], set[str]]:
    """Our tensors, and the keys they are made of."""
    tensors: dict[str, Stored] = {}
    used: set[str] = set()
    for key in stored:
        move = move_of(key)
        if move is None or not any(name in wanted for name in move.ours):
            continue
        if not all(part in stored for part in move.theirs):
            continue
        tensor = _joined(move, stored)
        for name in move.ours:
            if tensor.shape != tuple(wanted[name]):
                raise CheckpointError(
                    f"{stored[key].file}: {key} has shape {tensor.shape}, this model needs "
                    f"{tuple(wanted[name])} for {name}.",
                    "It is a checkpoint of another model, or its config.json belongs to another one.",
                )
            tensors[name] = tensor
        used.update(move.theirs)
    return tensors, used


def _joined(move: Move, stored: Mapping[str, Stored]) -> Stored:
    parts = [stored[key] for key in move.theirs]
    for key, part in zip(move.theirs, parts, strict=True):
        if part.shape[1:] != parts[0].shape[1:] or part.dtype != parts[0].dtype:
            raise CheckpointError(
                f"{part.file}: {key} has shape {part.shape} and can't be joined with {move.theirs[0]}.",
                "It is a checkpoint of another model.",
            )
    return joined(parts)


def _add(stored: dict[str, Stored], beside: Mapping[str, Stored], extra: Extra) -> None:
    """Put the tensors of another file under the main checkpoint's keys."""
    unknown = []
    for key, tensor in beside.items():
        move = Converter.move(key, rules=extra.rules)
        if move is not None:
            if extra.wins or move.ours[0] not in stored:
                stored[move.ours[0]] = tensor
        elif not _any(key, extra.ignored):
            unknown.append(key)
    file = next(iter(beside.values())).file
    _refuse(f"{file} holds", f"that do not belong to {extra.about}", unknown)


def _any(key: str, patterns: Collection[str]) -> bool:
    return any(matches(pattern, key) for pattern in patterns)


def _their_names(move_of: Callable[..., Move | None], keys: Collection[str]) -> list[str]:
    moves = [move_of(key, back=True) for key in keys]
    return [move.theirs[0] if move else key for key, move in zip(keys, moves, strict=True)]


def _refuse(start: str, end: str, keys: Collection[str], remedy: str = ALLOW) -> None:
    if keys:
        names = ", ".join(list(keys)[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")
        raise CheckpointError(f"{start} {len(keys)} keys {end}: {names}.", remedy)


def _zeros(source: Path, shape: Shape) -> Stored:
    return Stored(source, tuple(shape), torch.float32, lambda: torch.zeros(shape))


def _copy_tokenizer(source: Path, out: Path) -> bool:
    found = [name for name in TOKENIZER if (source / name).is_file()]
    for name in found:
        shutil.copyfile(source / name, out / name)
    return bool(set(found) & {"tokenizer.json", "tokenizer.model"})


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise CheckpointError(f"{out} exists.", "Name a folder that does not; nothing is overwritten.")


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A folder to fill beside ``out``; becomes it when all went well, and is removed otherwise."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for remains in out.parent.glob(f".{escape(out.name)}.*{PARTIAL}"):  # of conversions that were killed
        shutil.rmtree(remains)
    partial = Path(mkdtemp(prefix=f".{out.name}.", suffix=PARTIAL, dir=out.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.rename(out)
    finally:
        if partial.exists():
            shutil.rmtree(partial)
