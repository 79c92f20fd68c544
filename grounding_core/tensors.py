"""Tensors on disk, one at a time: foreign checkpoints read lazily, safetensors written as a stream."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from grounding_core.checkpoint import INDEX, WEIGHTS
from grounding_core.errors import CheckpointError

SHARD_BYTES = 5 * 10**9
REOPEN_BYTES = 2**28
DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
CODES = {dtype: code for code, dtype in DTYPES.items()}
WRAPPERS = ("model", "module", "state_dict")
"""Keys under which checkpoints of other projects keep their tensors."""
NAMES = (INDEX, WEIGHTS, "pytorch_model.bin.index.json", "pytorch_model.bin")
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


@dataclass(frozen=True)
class Stored:
    """A tensor that is not read yet; ``read()`` reads it."""

    file: Path
    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]

    @property
    def bytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * self.dtype.itemsize


def open_tensors(source: str | Path) -> dict[str, Stored]:
    """What a checkpoint holds: a safetensors or PyTorch file, or a folder of one or several.

    In a folder, Hugging Face's names and indices are looked for first, then ``checkpoint.*``, then any
    weight file. PyTorch files are read with ``weights_only``: code in them is never run.

    Raises:
        CheckpointError: nothing is there, a file is damaged or holds more than tensors, or a key is twice
            there; names the file.
    """
    found: dict[str, Stored] = {}
    for file in _files(Path(source)):
        opened = _open_safetensors(file) if file.suffix == ".safetensors" else _open_torch(file)
        twice = sorted(set(opened) & set(found))
        if twice:
            raise CheckpointError(
                f"{file} holds {twice[0]}, and so does {found[twice[0]].file}.", "Keep one checkpoint there."
            )
        found |= opened
    return found


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object in a file.

    Raises:
        CheckpointError: it is not one.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} is not valid JSON: {error}.", "Fetch it again.") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{file} holds no JSON object.", "Fetch it again.")
    return data


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise CheckpointError(f"There is no checkpoint {source}.", "Check the path.")
    for name in NAMES:
        if not (source / name).is_file():
            continue
        if not name.endswith(".index.json"):
            return [source / name]
        index = read_json(source / name).get("weight_map")
        if not isinstance(index, dict):
            raise CheckpointError(f"{source / name} has no weight_map.", "Fetch it again.")
        shards = [source / Path(str(shard)).name for shard in sorted(set(index.values()))]
        absent = [shard.name for shard in shards if not shard.is_file()]
        if absent:
            raise CheckpointError(f"Checkpoint {source} lacks {', '.join(absent)}.", "Copy all shards there.")
        return shards
    files = sorted(file for file in source.iterdir() if file.suffix in SUFFIXES)
    named = [file for file in files if file.stem == "checkpoint"]
    if not files:
        raise CheckpointError(
            f"Folder {source} holds no weights.", f"Files end in one of {', '.join(SUFFIXES)}."
        )
    return named[:1] or files


def _open_safetensors(file: Path) -> dict[str, Stored]:
    try:
        handle = safe_open(file, "pt")
        found = {}
        for key in handle.keys():  # noqa: SIM118 (not a mapping)
            part = handle.get_slice(key)
            code = part.get_dtype()
            if code not in DTYPES:
                raise CheckpointError(f"{file}: {key} is of type {code}.", f"Known: {', '.join(DTYPES)}.")
            found[key] = Stored(file, tuple(part.get_shape()), DTYPES[code], _reader(file, key))
        return found
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is damaged: {error}.", "Fetch it again.") from error


def _reader(file: Path, key: str) -> Callable[[], Tensor]:
    def read() -> Tensor:
        # Opened anew: a file that stays mapped holds on to every page that was read of it.
        with safe_open(file, "pt") as handle:
            tensor: Tensor = handle.get_tensor(key)
        return tensor

    return read


def _open_torch(file: Path) -> dict[str, Stored]:
    def reader(key: str) -> Callable[[], Tensor]:
        return lambda: mapped.read(key)

    mapped = _Mapped(file)
    return {
        str(key): Stored(file, tuple(value.shape), value.dtype, reader(key))
        for key, value in _load_torch(file).items()
    }


class _Mapped:
    """A PyTorch file that is opened anew now and then, to let go of the pages that were read of it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.tensors: dict[str, Tensor] = {}
        self.read_bytes = 0

    def read(self, key: str) -> Tensor:
        if not self.tensors or self.read_bytes > REOPEN_BYTES:
            self.tensors, self.read_bytes = _load_torch(self.file), 0
        tensor = self.tensors[key]
        self.read_bytes += tensor.nbytes
        return tensor


def _load_torch(file: Path) -> dict[str, Tensor]:
    """Tensors of a PyTorch file, mapped, not read."""
    try:
        data = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} holds more than tensors; nothing in it was run. {str(error).splitlines()[0]}",
            "Ask its author for safetensors, or for a file of tensors alone.",
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise CheckpointError(
            f"{file} is damaged or no PyTorch file: {str(error).splitlines()[0]}", "Fetch it again."
        ) from error
    while isinstance(data, dict) and not any(isinstance(value, Tensor) for value in data.values()):
        inner = next((data[name] for name in WRAPPERS if isinstance(data.get(name), dict)), None)
        if inner is None:
            break
        data = inner
    tensors = {key: v for key, v in data.items() if isinstance(v, Tensor)} if isinstance(data, dict) else {}
    if not tensors:
        raise CheckpointError(f"{file} holds no tensors.", "Name a checkpoint's weight file.")
    return tensors


def write_tensors(
    tensors: Mapping[str, Stored], folder: Path, *, shard_bytes: int = SHARD_BYTES
) -> list[Path]:
    """Write safetensors into an existing folder, tensor by tensor; several shards and an index above a size.

    No more than one tensor is in memory at a time.
    """
    groups: list[list[str]] = [[]]
    filled = 0
    for key in sorted(tensors):
        size = tensors[key].bytes
        if groups[-1] and filled + size > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(key)
        filled += size
    if len(groups) == 1:
        names = [WEIGHTS]
    else:
        stem = Path(WEIGHTS).stem
        names = [f"{stem}-{i + 1:05d}-of-{len(groups):05d}.safetensors" for i in range(len(groups))]
        index = {
            "metadata": {"total_size": sum(stored.bytes for stored in tensors.values())},
            "weight_map": {key: name for name, keys in zip(names, groups, strict=True) for key in keys},
        }
        (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
    for name, keys in zip(names, groups, strict=True):
        write_file(folder / name, {key: tensors[key] for key in keys})
    return [folder / name for name in names]


def write_file(path: Path, tensors: Mapping[str, Stored]) -> None:
    """One safetensors file: header length, JSON header, then the tensors' bytes, one by one."""
    ordered = sorted(
        tensors.items(), key=lambda entry: (-entry[1].dtype.itemsize, entry[0])
    )  # keeps all aligned
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for key, stored in ordered:
        begin, end = end, end + stored.bytes
        header[key] = {
            "dtype": CODES[stored.dtype],
            "shape": list(stored.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for key, stored in ordered:
            try:
                tensor = stored.read()
            except (SafetensorError, OSError, RuntimeError) as error:
                raise CheckpointError(
                    f"{stored.file}: {key} can't be read: {error}.", "Fetch it again."
                ) from error
            stream.write(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def joined(parts: Iterable[Stored]) -> Stored:
    """Tensors put behind each other along the first dimension, when it is read."""
    pieces = list(parts)
    first = pieces[0]
    if len(pieces) == 1:
        return first
    shape = (sum(piece.shape[0] for piece in pieces), *first.shape[1:])
    return Stored(first.file, shape, first.dtype, lambda: torch.cat([piece.read() for piece in pieces]))


def split(stored: Stored, count: int) -> list[Stored]:
    """What `joined` put together, in equal parts."""
    shape = (stored.shape[0] // count, *stored.shape[1:])

    def part(index: int) -> Callable[[], Tensor]:
        return lambda: stored.read().chunk(count)[index]

    return [Stored(stored.file, shape, stored.dtype, part(index)) for index in range(count)]
