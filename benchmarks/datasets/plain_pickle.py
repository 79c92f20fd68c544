"""Pickle files of plain values, read without the power to run anything."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from grounding_core.errors import DataError

LARGEST = 1 << 29
"""Most bytes a file may have: ten times RefCOCOg's."""


class _Plain(pickle.Unpickler):
    """Knows lists, dictionaries, numbers and text; a pickle needs a name to get at anything else."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}, and only plain values are read")


def read_plain_pickle(path: Path, source: str) -> Any:
    """Lists, dictionaries, numbers and text from a pickle file; nothing in it is ever called.

    Args:
        path: the file.
        source: where the data set comes from, for the message.

    Raises:
        DataError: the file is missing, damaged, too large, or holds anything but plain values.
    """
    if not path.is_file():
        raise DataError(
            f"{path} is missing.", f"Get it from {source}, or point --data-root at the folder above it."
        )
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path} has more than {LARGEST} bytes.", f"Get it again from {source}.")
    try:
        with path.open("rb") as file:
            # The published files were written by Python 2, whose text is bytes.
            return _Plain(file, encoding="utf-8").load()
    # What a damaged or hostile pickle may raise is not documented; all of it means the same.
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
        ImportError, MemoryError, RecursionError,
    ) as error:  # fmt: skip
        raise DataError(
            f"{path} can't be read as plain values: {error}.", f"Get it from {source}."
        ) from error
