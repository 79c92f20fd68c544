"""What this machine offers grounding_core, found without loading a model."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from grounding_core.paths import cache_dir

State = Literal["ok", "missing", "broken"]

HUB_SECONDS = 3.0
"""How long the hub may take to answer."""

PACKAGES = (
    "torch",
    "torchvision",
    "transformers",
    "accelerate",
    "tokenizers",
    "safetensors",
    "numpy",
    "pillow",
)
OPTIONAL = {
    "pycocoevalcap": "caption metrics: pip install 'grounding-core[text]'",
    "bitsandbytes": "int8 and nf4: pip install 'grounding-core[quantised]'",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: heading it stands under.
        name: what it is.
        state: ``ok``; ``missing`` where something optional is not there; ``broken`` where something
            that every use needs does not work.
        detail: version, size or reason.
    """

    topic: str
    name: str
    state: State
    detail: str


def examine() -> Iterator[Finding]:
    """Look at everything, one finding after another; a check that fails is a finding, not an error."""
    yield Finding("python", "Python", "ok", f"{platform.python_version()} on {platform.platform()}")
    yield from map(_package, PACKAGES)
    yield from (_package(name, need) for name, need in OPTIONAL.items())
    yield from _plugins()
    yield from _attempt("device", "PyTorch", "broken", _devices)
    yield from _attempt("video", "PyAV", "broken", _pyav)
    yield from _attempt("video", "decord", "missing", partial(_import, "decord"))
    yield from _attempt("metrics", "Java", "missing", _java)
    yield from _hub()
    yield from map(_cache, _caches().items())


def _package(name: str, need: str | None = None) -> Finding:
    try:
        return Finding("packages", name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding("packages", name, "missing" if need else "broken", need or f"pip install {name}")


def _plugins() -> Iterator[Finding]:
    from grounding_core.plugins import registry

    found = registry()
    for plugin in found.plugins:
        offers = f"{plugin.version}, offers {len(plugin.entries)}"
        yield Finding("plugins", f"{plugin.distribution}: {plugin.name}", "ok", offers)
    for failure in found.failures:
        detail = f"{failure.version}: {failure.error}"
        yield Finding("plugins", f"{failure.distribution}: {failure.name}", "broken", detail)


def _attempt(topic: str, name: str, otherwise: State, look: Callable[[], Iterator[str]]) -> Iterator[Finding]:
    """One finding for each line of ``look``; what it raises is the last one."""
    try:
        for line in look():
            yield Finding(topic, name, "ok", line)
    # Whatever a foreign library raises when it is imported or asked is what the user wants to read.
    except Exception as error:  # noqa: BLE001
        text = " ".join(str(error).split())
        yield Finding(topic, name, otherwise, text or type(error).__name__)


def _devices() -> Iterator[str]:
    import torch

    yield f"CPU, {torch.get_num_threads()} of {os.cpu_count()} threads"
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        yield f"cuda:{index} {facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        yield "mps"


def _pyav() -> Iterator[str]:
    import av

    known = [codec for codec in ("h264", "hevc", "vp9", "av1") if codec in av.codecs_available]
    writes = "libx264" if "libx264" in av.codecs_available else "no libx264: overlays can't be written"
    yield f"{importlib.metadata.version('av')}, reads {', '.join(known)}, writes {writes}"


def _import(name: str) -> Iterator[str]:
    if find_spec(name) is None:
        raise ModuleNotFoundError(f"not installed; PyAV reads everything without {name}")
    __import__(name)
    yield importlib.metadata.version(name)


def _java() -> Iterator[str]:
    from benchmarks.metrics.java import find_java

    yield find_java()


def _hub() -> Iterator[Finding]:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        yield Finding(
            "hub", constants.ENDPOINT, "missing", "HF_HUB_OFFLINE is set: only cached files are used"
        )
        return
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        with urllib.request.urlopen(request, timeout=HUB_SECONDS):
            yield Finding("hub", constants.ENDPOINT, "ok", "answers")
    except urllib.error.HTTPError as error:
        yield Finding("hub", constants.ENDPOINT, "missing", f"answers {error.code} {error.reason}")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        yield Finding("hub", constants.ENDPOINT, "missing", f"not reached: {reason}")


def _caches() -> dict[str, Path]:
    from huggingface_hub import constants

    return {"GROUNDING_CACHE": cache_dir(), "HF_HUB_CACHE": Path(constants.HF_HUB_CACHE)}


def _cache(place: tuple[str, Path]) -> Finding:
    name, folder = place
    used = _size(folder) / 2**20
    above = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(above).free / 2**30
    return Finding("caches", name, "ok", f"{folder}: {used:,.1f} MiB, {free:,.1f} GiB free")


def _size(folder: Path) -> int:
    """Bytes below a folder; links are not followed, and files that vanish meanwhile don't count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
