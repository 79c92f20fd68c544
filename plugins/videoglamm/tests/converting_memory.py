"""Peak memory (Linux) of converting a checkpoint of zeros in the published layout, at any size.

    python plugins/videoglamm/tests/converting_memory.py FOLDER [LAYERS]

writes one of the published sizes (fewer language layers if LAYERS says so) below FOLDER as fp16 shards,
first safetensors, then PyTorch files; converts each in a process of its own, prints size, seconds and peak
memory, and removes all.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from grounding_videoglamm.convert import EMBEDDING, VideoGlammConverter
from safetensors.torch import load_file

from grounding_core.checkpoint import INDEX
from grounding_core.tensors import Stored, write_tensors

SHARD_BYTES = 2 * 10**9
CONVERT = """
import re, sys
from pathlib import Path
from grounding_videoglamm.convert import VideoGlammConverter
from grounding_core.conversion import convert
for source in sys.argv[1:]:
    convert(VideoGlammConverter(), Path(source), Path(source + "-converted"))
    # Not getrusage: that one starts from the memory of the process that started this one.
    print(1024 * int(re.search("VmHWM:\\\\s+([0-9]+)", Path("/proc/self/status").read_text())[1]))
"""


def write_checkpoint(folder: Path, config: dict[str, Any], *, pytorch: bool = False) -> int:
    """Zeros under all the keys of a checkpoint with this ``config.json``; its bytes."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {key: _zeros(shape) for key, shape in _shapes(config)}
    files = write_tensors(tensors, folder, shard_bytes=SHARD_BYTES)
    if pytorch:
        for file in files:
            torch.save(load_file(file), folder / f"pytorch_{file.stem}.bin")
            file.unlink()
        if (folder / INDEX).is_file():
            index = json.loads((folder / INDEX).read_text())["weight_map"]
            named = {key: f"pytorch_{Path(file).stem}.bin" for key, file in index.items()}
            (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": named}))
            (folder / INDEX).unlink()
    return sum(tensor.bytes for tensor in tensors.values())


def peaks(sources: Sequence[Path]) -> list[int]:
    """Bytes of memory that one process has held at most after it converted each, torch included."""
    words = [sys.executable, "-c", CONVERT, *map(str, sources)]
    return [int(line) for line in subprocess.run(words, check=True, stdout=-1).stdout.split()]


def _zeros(shape: tuple[int, ...]) -> Stored:
    return Stored(Path("zeros"), shape, torch.float16, lambda: torch.zeros(shape, dtype=torch.float16))


def _shapes(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    converter = VideoGlammConverter()
    width = config.get("hidden_size", config.get("llm_config", {}).get("hidden_size"))
    facts = {EMBEDDING: (32064, width), "model.text_hidden_fcs.0.0.weight": (width, width)}
    for key, shape in converter.shapes(converter.read(config, facts).recipe).items():
        move = converter.move(key, back=True)
        assert move is not None, key
        for theirs in move.theirs:
            yield theirs, (shape[0] // len(move.theirs), *shape[1:]) if len(move.theirs) > 1 else shape


def main(folder: Path, layers: int = 32) -> None:
    """Measure and print."""
    source = folder / "published"
    converted = folder / "published-converted"
    for kind in ("safetensors", "PyTorch"):
        try:
            size = write_checkpoint(
                source, {"hidden_size": 3072, "num_hidden_layers": layers}, pytorch=kind == "PyTorch"
            )
            started = time.perf_counter()
            most = peaks([source])[0]
            seconds = time.perf_counter() - started
        finally:
            for path in (source, converted):
                shutil.rmtree(path, ignore_errors=True)
        print(
            f"{size / 2**30:.2f} GiB of {kind} weights converted in {seconds:.0f} s, "
            f"peak memory {most / 2**30:.2f} GiB",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
