"""Reading what other people packed: a zip file, or a folder, without unpacking and without trust."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from grounding_core.errors import DataError

MAX_ENTRIES = 5_000_000
MAX_ENTRY = 64 << 20
"""Bytes of one unpacked entry; a mask of 8K video is far below."""

MAX_RATIO = 200
"""Largest allowed unpacked size over packed size of a whole archive; PNG files hardly shrink further."""


class Archive(ABC):
    """Named files, read one at a time."""

    def __init__(self, path: Path, names: frozenset[str]) -> None:
        self.path = path
        self.names = names

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Content of one of ``names``.

        Raises:
            DataError: the entry is too large or damaged.
        """

    @abstractmethod
    def digest(self) -> str:
        """A hash that changes with the content."""


class _Zip(Archive):
    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        entries = [entry for entry in file.infolist() if not entry.is_dir()]
        super().__init__(path, frozenset(_checked(path, entries)))
        self._file = file

    def read(self, name: str) -> bytes:
        try:
            with self._file.open(name) as handle:
                # The header's size may lie, so no more than the limit is ever unpacked.
                content = handle.read(MAX_ENTRY + 1)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{name} in {self.path} can't be read: {error}.", "Pack it again.") from error
        if len(content) > MAX_ENTRY:
            raise _too_large(self.path, name)
        return content

    def digest(self) -> str:
        listed = sorted((entry.filename, entry.file_size, entry.CRC) for entry in self._file.infolist())
        return hashlib.sha256(repr(listed).encode()).hexdigest()[:16]


class _Folder(Archive):
    def __init__(self, path: Path) -> None:
        super().__init__(path, frozenset(_walk(path)))

    def read(self, name: str) -> bytes:
        file = self.path / name
        try:
            if file.stat().st_size > MAX_ENTRY:
                raise _too_large(self.path, name)
            return file.read_bytes()
        except OSError as error:
            raise DataError(
                f"{file} can't be read: {error.strerror or error}.", "Check its rights."
            ) from error

    def digest(self) -> str:
        content = hashlib.sha256()
        for name in sorted(self.names):
            content.update(name.encode() + hashlib.sha256(self.read(name)).digest())
        return content.hexdigest()[:16]


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a zip file or a folder.

    Raises:
        DataError: it is neither; or it holds a path outside itself, a link, or more than any submission.
    """
    if path.is_dir():
        yield _Folder(path)
        return
    if not path.is_file():
        raise DataError(f"There is no {path}.", "Name a zip file or a folder.")
    try:
        file = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path} is no zip file: {error}.", "Name a zip file or a folder.") from error
    with file:
        yield _Zip(path, file)


def _checked(path: Path, entries: list[zipfile.ZipInfo]) -> Iterator[str]:
    if len(entries) > MAX_ENTRIES:
        raise DataError(f"{path} has {len(entries)} entries.", f"At most {MAX_ENTRIES} are read.")
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if unpacked > MAX_ENTRY and unpacked > MAX_RATIO * packed:
        raise DataError(
            f"{path} unpacks to {unpacked} bytes, {unpacked // max(packed, 1)} times its size.",
            "That is no submission; it is not read.",
        )
    for entry in entries:
        if outside(entry.filename):
            raise DataError(f"{path} holds {entry.filename!r}, a path outside of it.", "It is not read.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DataError(f"{path} holds {entry.filename!r}, a link.", "Pack the files themselves.")
        if entry.file_size > MAX_ENTRY:
            raise _too_large(path, entry.filename)
        yield entry.filename


def outside(name: str) -> bool:
    """Whether a name in an archive may lead out of the folder it is unpacked in."""
    parts = PurePosixPath(name).parts
    return not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]


def _walk(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise DataError(f"{path} is a link.", "Name a folder that holds the files themselves.")
        if path.is_file():
            yield path.relative_to(folder).as_posix()


def _too_large(path: Path, name: str) -> DataError:
    return DataError(f"{name} in {path} is larger than {MAX_ENTRY >> 20} MiB.", "That is no mask.")
