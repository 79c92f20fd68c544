"""Peak memory of converting a checkpoint of zeros in the published layout, at any size.

    python plugins/videoglamm/tests/converting_memory.py FOLDER [LAYERS]

writes one of the published sizes (fewer language layers if LAYERS says so) below FOLDER as fp16 shards,
converts it in a process of its own, prints size, seconds and peak memory, and removes both.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from grounding_videoglamm.convert import EMBEDDING, VideoGlammConverter

from grounding_core.tensors import Stored, write_tensors

CONVERT = """
import resource, sys
from pathlib import Path
from grounding_videoglamm.convert import VideoGlammConverter
from grounding_core.conversion import convert
convert(VideoGlammConverter(), Path(sys.argv[1]), Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def write_checkpoint(folder: Path, config: dict[str, Any]) -> int:
    """Zeros under all the keys of a checkpoint with this ``config.json``; its bytes."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {key: _zeros(shape) for key, shape in _shapes(config)}
    write_tensors(tensors, folder)
    return sum(tensor.bytes for tensor in tensors.values())


def peak(source: Path, out: Path) -> int:
    """Bytes of memory that converting takes at most, the interpreter and torch included."""
    words = [sys.executable, "-c", CONVERT, str(source), str(out)]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


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
    source, out = folder / "published", folder / "converted"
    try:
        size = write_checkpoint(source, {"hidden_size": 3072, "num_hidden_layers": layers})
        started = time.perf_counter()
        most = peak(source, out)
        seconds = time.perf_counter() - started
    finally:
        for path in (source, out):
            shutil.rmtree(path, ignore_errors=True)
    gib = [math.ceil(100 * value / 2**30) / 100 for value in (size, most)]
    print(f"{gib[0]} GiB of weights converted in {seconds:.0f} s, peak memory {gib[1]} GiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
