"""Markup to spans and back."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grounding_core.errors import GroundingError
from grounding_core.markup import SEG, Marked, parse, render, so_far
from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText, Span

PIECES = [
    "<p>",
    "</p>",
    "[SEG]",
    " ",
    "\n",
    "red",
    "cat",
    ".",
    ",",
    "(",
    ")",
    "<",
    "p>",
    "[",
    "SEG]",
    "/",
    "-",
]
messy = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=24).map("".join))


@pytest.mark.parametrize(
    ("source", "text", "phrases"),
    [
        (
            "A <p> red cat </p> [SEG] moves <p> left </p> .",
            "A red cat moves left.",
            [("red cat", (0,)), ("left", ())],
        ),
        ("<p>A red cat</p> [SEG] moves left.", "A red cat moves left.", [("A red cat", (0,))]),
        ("<p>Two dogs</p>[SEG][SEG]", "Two dogs", [("Two dogs", (0, 1))]),
        ("<p>Two dogs</p> [SEG] [SEG] run", "Two dogs run", [("Two dogs", (0, 1))]),
        ("<p>cat</p> [SEG], <p> dog </p> [SEG].", "cat, dog.", [("cat", (0,)), ("dog", (1,))]),
        ("It is [SEG].", "It is.", [("", (0,))]),
        ("[SEG]", "", [("", (0,))]),
        ("[SEG] [SEG] there", "there", [("", (0, 1))]),
        ("a <p>cat</p> sleeps", "a cat sleeps", [("cat", ())]),
        ("a <p> cat [SEG] sleeps", "a cat sleeps", [("cat", (0,))]),
        ("a <p> cat [SEG] </p> sleeps", "a cat sleeps", [("cat", (0,))]),
        ("a <p> cat sleeps", "a cat sleeps", []),
        ("a cat </p> [SEG] sleeps", "a cat sleeps", [("", (0,))]),
        ("<p> a <p> cat </p> [SEG] </p>", "a cat", [("cat", (0,))]),
        ("<p> </p> and </p><p>", "and", []),
        ("see (<p> the cat </p> [SEG] )", "see (the cat)", [("the cat", (0,))]),
        ("<p>cat</p> [SEG]sits", "cat sits", [("cat", (0,))]),
        ("one\n<p>two</p> [SEG]\nthree", "one\ntwo\nthree", [("two", (0,))]),
        ("  untouched , text  ", "  untouched , text  ", []),
        ("", "", []),
    ],
)
def test_parse(source: str, text: str, phrases: list[tuple[str, tuple[int, ...]]]) -> None:
    marked = parse(source)
    assert marked.text == text
    assert [(marked.text[s.start : s.end], s.tracks) for s in marked.spans] == phrases
    assert marked.num_tracks == source.count(SEG)


@settings(max_examples=400)
@given(messy)
def test_rendering_what_was_parsed_gives_the_same(source: str) -> None:
    marked = parse(source)
    assert parse(render(marked)) == marked


@given(messy)
def test_parsed_text_is_clean_and_tracks_are_counted_in_order(source: str) -> None:
    marked = parse(source)
    assert not any(token in marked.text for token in ("<p>", "</p>", SEG))
    assert [id for span in marked.spans for id in span.tracks] == list(range(source.count(SEG)))
    edges = [place for span in marked.spans for place in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(0 <= place <= len(marked.text) for place in edges)


@given(st.text(alphabet="<s>eg/p a.", max_size=30))
def test_another_token_round_trips(source: str) -> None:
    marked = parse(source, seg="<seg>")
    assert parse(render(marked, seg="<seg>"), seg="<seg>") == marked


def test_render_writes_the_training_format() -> None:
    marked = Marked("A red cat and two dogs.", (Span(0, 9, (0,)), Span(14, 22, (1, 2))), 3)
    assert render(marked) == "<p>A red cat</p> [SEG] and <p>two dogs</p> [SEG] [SEG]."
    assert parse(render(marked)) == marked


def test_overlapping_spans_keep_their_tracks() -> None:
    answer = GroundedText(
        "the red cat", (Span(0, 11, (7,)), Span(4, 11, (3,))), tuple(_track(id) for id in (3, 7))
    )
    assert render(answer) == "<p>the red cat</p> [SEG] [SEG]"


def test_long_malformed_text_is_read_in_linear_time() -> None:
    started = time.perf_counter()
    for piece in ("<p>", "[SEG]", " ", "<", "<p> a [SEG] ", "\n </p>"):
        marked = parse(piece * 20_000)
        assert parse(render(marked)) == marked
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("seg", ["", "[ SEG ]", "<p>"])
def test_a_token_that_cannot_work_is_refused(seg: str) -> None:
    with pytest.raises(GroundingError, match="can't stand for a track"):
        parse("text", seg=seg)


def _track(id: int) -> MaskTrack:
    return MaskTrack.from_masks(id, [np.ones((4, 4), bool)])


@pytest.mark.parametrize("end", ["<", "<p", "<p>", "</", "[SE"])
def test_half_a_tag_is_not_shown_while_it_is_written(end: str) -> None:
    assert so_far(f"a <p> dog </p> [SEG] and {end}").text.rstrip() == "a dog and"
    assert so_far("2 < 3").text == "2 < 3"
