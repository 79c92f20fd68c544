"""Questions and answers, in memory and as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from grounding_core.errors import GroundingError, QueryError
from grounding_core.masks import MaskTrack
from grounding_core.serial import from_json, to_json
from grounding_core.types import GroundedText, Query, Span


def _track(id: int, seed: int = 0) -> MaskTrack:
    rng = np.random.default_rng(seed)
    return MaskTrack.from_masks(id, [np.zeros((5, 7), bool), *(rng.random((3, 5, 7)) > 0.5)])


@st.composite
def answers(draw: st.DrawFn) -> GroundedText:
    text = draw(st.text(max_size=20))
    ids = draw(st.lists(st.integers(0, 30), unique=True, max_size=3))
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    spans = tuple(
        Span(start, end, tuple(draw(st.permutations(ids))))
        for start, end in zip(places[::2], places[1::2], strict=False)
    )
    return GroundedText(text, spans, tuple(_track(id, id) for id in ids), {"seconds": 0.5})


@given(answers())
def test_answers_survive_json(answer: GroundedText) -> None:
    again = from_json(json.loads(json.dumps(to_json(answer))))
    assert again == answer
    assert again.meta == answer.meta


def test_json_masks_are_read_by_pycocotools() -> None:
    track = _track(2)
    written = to_json(GroundedText("cat", (Span(0, 3, (2,)),), (track,)))
    assert written["spans"] == [{"start": 0, "end": 3, "tracks": [2]}]
    frames = written["tracks"][0]["frames"]
    assert frames[0] is None
    assert np.array_equal(coco.decode(frames[1]).astype(bool), track.mask(1))


def _spoiled(**changes: Any) -> dict[str, Any]:
    return {**to_json(GroundedText("cat", (Span(0, 3, (2,)),), (_track(2),))), **changes}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "KeyError: 'text'"),
        (_spoiled(spans=[{"start": 0}]), "KeyError: 'end'"),
        (_spoiled(spans=None), "not an answer"),
        (_spoiled(tracks=[]), r"names tracks \[2\]"),
        (_spoiled(text="c"), "leaves a text of 1 characters"),
        (
            _spoiled(tracks=[{"id": 2, "size": [5, 7], "frames": [{"size": [4, 4], "counts": "0"}]}]),
            "frame 0",
        ),
    ],
)
def test_json_that_is_no_answer_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(GroundingError, match=message):
        from_json(data)


def test_answers_are_checked() -> None:
    with pytest.raises(GroundingError, match="not unique"):
        GroundedText("cat", (), (_track(1), _track(1)))
    with pytest.raises(GroundingError, match="not a range"):
        Span(3, 2)
    assert GroundedText("red cat", (Span(4, 7),)).phrase(Span(4, 7)) == "cat"


@pytest.mark.parametrize("kind", ["refer", "ask", "locate"])
def test_a_question_needs_words(kind: Any) -> None:
    with pytest.raises(QueryError, match="empty"):
        Query(" \n", kind)
    assert Query(kind="describe").text == ""


def test_a_question_of_bytes_that_are_no_text_is_refused() -> None:
    with pytest.raises(QueryError, match="not text in UTF-8"):
        Query(b"caf\xe9".decode("utf-8", "surrogateescape"))


def test_an_unknown_kind_of_question_is_refused() -> None:
    with pytest.raises(QueryError, match=r"'guess' is unknown.*describe, refer"):
        Query("cat", "guess")  # type: ignore[arg-type]
