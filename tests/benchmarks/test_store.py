"""The predictions file: torn lines, retries, other runs' files, locks."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lock import locked
from benchmarks.store import Prediction, PredictionStore
from grounding_core.errors import DataError, GroundingError
from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText, Span


def answer(text: str) -> GroundedText:
    mask = np.zeros((5, 7), dtype=bool)
    mask[1:3, 2:6] = True
    return GroundedText(
        text, (Span(0, 1, (4,)),), (MaskTrack.from_masks(4, [mask, ~mask, np.zeros_like(mask)]),)
    )


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path, "a", {"x": "1"})
    with store:
        store.append(Prediction("s1", answer("naïve \u2028 text"), 0.5), {"task": "refseg"})
    found = store.predictions()["s1"]
    assert found.answer == answer("naïve \u2028 text")
    assert found.seconds == 0.5 and found.error == ""


def test_half_a_character_is_kept_as_a_question_mark(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path, "a", {"x": "1"})
    with store:
        store.append(Prediction("s1", answer("a \ud83d cat"), 0.5), {})
    assert store.predictions()["s1"].answer == answer("a ? cat")


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_torn_last_line_is_predicted_again(tmp_path: Path, cut: int) -> None:
    store = PredictionStore(tmp_path, "a", {"x": "1"})
    with store:
        for name in ("s1", "s2", "s3"):
            store.append(Prediction(name, answer(name), 0.1), {})
    os.truncate(store.path, store.path.stat().st_size - cut)
    assert store.done() == {"s1", "s2"}
    with store:
        store.append(Prediction("s3", answer("again"), 0.1), {})
    found = store.predictions()
    assert list(found) == ["s1", "s2", "s3"]
    assert found["s3"].answer == answer("again")


def test_a_file_torn_in_its_first_line_starts_anew(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path, "a", {"x": "1"})
    with store:
        pass
    os.truncate(store.path, 5)
    assert store.done() == set()
    with store:
        store.append(Prediction("s1", answer("a"), 0.1), {})
    assert store.done() == {"s1"}


def test_a_failed_sample_is_done_unless_it_is_retried(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path, "a", {"x": "1"})
    with store:
        store.append(Prediction("s1", None, 0.1, "it broke", "Traceback ..."), {})
    assert store.done() == {"s1"}
    assert store.done(retry_errors=True) == set()
    assert store.predictions()["s1"].error == "it broke"
    with store:
        store.append(Prediction("s1", answer("a"), 0.1), {})
    assert store.done(retry_errors=True) == {"s1"}


def test_other_fingerprints_have_other_files(tmp_path: Path) -> None:
    first, second = (PredictionStore(tmp_path, "a", {"x": value}) for value in ("1", "2"))
    with first:
        first.append(Prediction("s1", answer("a"), 0.1), {})
    assert second.done() == set()
    second.path.write_bytes(first.path.read_bytes())
    with pytest.raises(DataError, match="predictions of another run"):
        second.done()


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path, "a", {"x": "1"})
    with store:
        for name in ("s1", "s2"):
            store.append(Prediction(name, answer(name), 0.1), {})
    lines = store.path.read_bytes().split(b"\n")
    lines[1] = lines[1][:20]
    store.path.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match="line 2 is damaged"):
        store.done()


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "run"),
        pytest.raises(GroundingError, match=f"in use by process {os.getpid()}"),
        locked(tmp_path / "run"),
    ):
        pass
    with locked(tmp_path / "run"):
        pass
