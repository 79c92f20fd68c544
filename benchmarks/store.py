"""Predictions on disk: append-only JSON lines, each written through to the disk before the next sample."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from grounding_core.errors import DataError
from grounding_core.serial import from_json, to_json
from grounding_core.types import GroundedText

FORMAT = 1


@dataclass(frozen=True)
class Prediction:
    """What became of one sample: an answer, or an error and its traceback.

    ``truth`` is the digest of the truth that was there; empty where nobody looked.
    """

    id: str
    answer: GroundedText | None
    seconds: float
    error: str = ""
    traceback: str = ""
    truth: str = ""


def key_of(fingerprint: Mapping[str, str]) -> str:
    """A short hash of a fingerprint, for file names."""
    return hashlib.sha256(json.dumps(dict(fingerprint), sort_keys=True).encode()).hexdigest()[:12]


class PredictionStore:
    """The predictions of one model on one task, data set and split.

    The file's first line is the fingerprint and the file's name holds its hash, so predictions made in
    another way never mix. A last line torn by a kill is cut off when the file is opened to append; of several
    lines of one sample the last counts.

    Args:
        folder: folder of all stores of a run.
        label: readable part of the file's name.
        fingerprint: everything that shapes the predictions.
    """

    def __init__(self, folder: Path, label: str, fingerprint: Mapping[str, str]) -> None:
        self.path = folder / f"{label}-{key_of(fingerprint)}.jsonl"
        self.fingerprint = dict(fingerprint)
        self._handle: IO[bytes] | None = None

    def __enter__(self) -> PredictionStore:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = self.path.open("ab+")
        whole = _whole_lines(self._handle)
        self._handle.truncate(whole)
        if whole == 0:
            self._write({"format": FORMAT, "fingerprint": self.fingerprint})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def append(self, prediction: Prediction, facts: Mapping[str, str | int]) -> None:
        """Write one line and wait until the disk has it.

        Args:
            prediction: what to keep.
            facts: what else is known of the sample, e.g. task and data set, for readers of the file.
        """
        line: dict[str, Any] = {"id": prediction.id, **facts}
        if prediction.truth:
            line["truth"] = prediction.truth
        line |= {"seconds": round(prediction.seconds, 4)}
        if prediction.answer is not None:
            line |= to_json(prediction.answer)
        line["error"] = prediction.error or None
        if prediction.traceback:
            line["traceback"] = prediction.traceback
        self._write(line)

    def beside(self, folder: Path) -> PredictionStore:
        """A store of the same predictions in another folder, for one of several processes."""
        other = PredictionStore(folder, "", self.fingerprint)
        other.path = folder / self.path.name
        return other

    def adopt(self, path: Path) -> None:
        """Append the predictions of another process's file; it must be of the same fingerprint.

        Raises:
            DataError: it is of another run.
        """
        other = self.beside(path.parent)
        for number, raw in enumerate(other._whole(), 1):
            if number == 1:
                self._check(_parse(raw, str(path)))
            else:
                self._append(raw)

    def _write(self, line: Mapping[str, Any]) -> None:
        # Half of a character pair, as some models write, is no text: it becomes a question mark.
        self._append(json.dumps(line, ensure_ascii=False, default=str).encode(errors="replace") + b"\n")

    def _append(self, raw: bytes) -> None:
        if self._handle is None:
            raise RuntimeError("the store is not open for writing")
        self._handle.write(raw)
        self._handle.flush()
        os.fsync(self._handle.fileno())

    def done(self, *, retry_errors: bool = False) -> set[str]:
        """Ids of the samples that need no prediction: answered ones and, unless retried, failed ones."""
        failed = {line["id"]: bool(line["error"]) for line in self._lines()}
        return {id for id, error in failed.items() if not (error and retry_errors)}

    def errors(self) -> dict[str, str]:
        """Sample id -> what went wrong, of those that failed last."""
        last = {line["id"]: line["error"] for line in self._lines()}
        return {id: str(error) for id, error in last.items() if error}

    def video_bytes(self) -> dict[str, int]:
        """Sample id -> size of its video's files when it was predicted, where that is known."""
        return {line["id"]: int(line["video bytes"]) for line in self._lines() if "video bytes" in line}

    def predictions(self) -> Predictions:
        """The last prediction of each sample; finds where they are, and reads them when asked for."""
        return Predictions(self.path, {id: place for id, place in self._places()})

    def _places(self) -> Iterator[tuple[str, int]]:
        """Ids of all predictions, and where their lines begin."""
        place = 0
        for number, raw in enumerate(self._whole(), 1):
            if number == 1:
                self._check(self._parse(raw, number))
            else:
                yield _id_of(raw) or str(self._parse(raw, number)["id"]), place
            place += len(raw)

    def _lines(self) -> Iterator[dict[str, Any]]:
        for number, raw in enumerate(self._whole(), 1):
            line = self._parse(raw, number)
            if number == 1:
                self._check(line)
            else:
                yield line

    def _whole(self) -> Iterator[bytes]:
        """The file's lines, without a last one that a kill has torn or that is being written."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as handle:
            for raw in handle:
                if not raw.endswith(b"\n"):
                    return
                yield raw

    def _parse(self, raw: bytes, number: int) -> dict[str, Any]:
        return _parse(raw, f"{self.path} line {number}")

    def _check(self, header: Mapping[str, Any]) -> None:
        if header.get("format") != FORMAT or header.get("fingerprint") != self.fingerprint:
            raise DataError(f"{self.path} holds predictions of another run.", "Move the file away.")


class Predictions(Mapping[str, Prediction]):
    """Predictions in a file, of which only the places are held.

    Args:
        path: the file.
        places: sample id -> where its line begins.
    """

    def __init__(self, path: Path, places: Mapping[str, int]) -> None:
        self.path = path
        self._places = places

    def place(self, id: str) -> int:
        """Where a sample's line begins; -1 if there is none."""
        return self._places.get(id, -1)

    def __getitem__(self, id: str) -> Prediction:
        return read_at(self.path, self._places[id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def read_at(path: Path, place: int) -> Prediction:
    """The prediction whose line begins at a place of a file.

    Raises:
        DataError: the line is damaged.
    """
    with path.open("rb") as handle:
        handle.seek(place)
        return _prediction(_parse(handle.readline(), f"{path}, the line at byte {place},"))


def _parse(raw: bytes, where: str) -> dict[str, Any]:
    try:
        line: dict[str, Any] = json.loads(raw)
    except ValueError as error:
        raise DataError(
            f"{where} is damaged: {error}.", "Delete the line; its sample is predicted again."
        ) from error
    return line


_LEADING_ID = re.compile(rb'\{"id": ("(?:[^"\\]|\\.)*")')


def _id_of(raw: bytes) -> str | None:
    """The id that leads a line, without reading the masks behind it; None if something else does."""
    found = _LEADING_ID.match(raw)
    return None if found is None else str(json.loads(found.group(1)))


def _prediction(line: Mapping[str, Any]) -> Prediction:
    answer = None if line["error"] else from_json(line)
    return Prediction(
        line["id"],
        answer,
        float(line["seconds"]),
        line["error"] or "",
        line.get("traceback", ""),
        line.get("truth", ""),
    )


def _whole_lines(handle: IO[bytes]) -> int:
    """Length of the file up to and with its last line break."""
    end = handle.seek(0, os.SEEK_END)
    while end:
        start = max(end - (1 << 20), 0)
        handle.seek(start)
        place = handle.read(end - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0
