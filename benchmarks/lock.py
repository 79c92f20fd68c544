"""One process a run folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from grounding_core.errors import GroundingError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder; the operating system lets go of it however the process ends.

    Raises:
        GroundingError: another process holds it, or the folder can't be written.
    """
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise GroundingError(
            f"Can't write to {folder}: {error.strerror or error}.", "Name another folder with --out."
        ) from error
    with handle:
        if not _take(handle):
            handle.seek(0)
            owner = handle.read().strip() or "another process"
            raise GroundingError(f"{folder} is in use by {owner}.", "Wait for it, or name another --out.")
        # The name is for messages only: without it, as on a full disk, the lock holds all the same.
        with suppress(OSError):
            handle.truncate(0)
            handle.write(f"process {os.getpid()}")
            handle.flush()
        yield


def _take(handle: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
