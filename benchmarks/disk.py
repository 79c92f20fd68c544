"""Writing files whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from grounding_core.errors import DataError


def replace_text(path: Path, text: str | Iterable[str]) -> None:
    """Write a file, replacing what was there in one step; ``text`` may come in parts.

    Raises:
        DataError: the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines([text] if isinstance(text, str) else text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise DataError(
            f"Can't write {path}: {error.strerror or error}.", "Free some space, or name another --out."
        ) from error


class Memory:
    """A dictionary of what was costly to find out, kept in a JSON file.

    Args:
        path: the file; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.known: dict[str, Any] = {}
        if path is not None and path.is_file():
            self.known = json.loads(path.read_text(encoding="utf-8"))

    def save(self) -> None:
        """Write everything that is known."""
        if self._path is not None:
            replace_text(self._path, json.dumps(self.known))
