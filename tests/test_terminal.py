"""Answers in a terminal: words in colour, small pictures."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from grounding_core import GroundedText, MaskTrack, Span, Video
from grounding_core.cli.show import COLUMNS, answering, coloured, preview
from grounding_core.drawing import PALETTE
from grounding_core.markup import so_far


def answer() -> GroundedText:
    masks = np.zeros((6, 60, 80), bool)
    masks[:, 20:40, 30:60] = True
    return GroundedText("A box.", (Span(2, 5, (2,)),), (MaskTrack.from_masks(2, masks),))


def terminal(width: int) -> Console:
    return Console(force_terminal=True, color_system="truecolor", width=width)


def test_preview_fits_the_terminal_and_shows_the_mask() -> None:
    video = Video.open(np.full((6, 60, 80, 3), 200, np.uint8))
    for width, pictures in ((80, 3), (60, 2), (30, 1)):
        shown = preview(answer(), video, terminal(width))
        assert shown is not None
        *rows, names = shown.plain.split("\n")
        assert {len(row) for row in rows} == {pictures * (COLUMNS + 1) - 1}
        assert names.count("frame") == pictures
        outline = "rgb({},{},{})".format(*PALETTE[2])
        assert any(outline in str(span.style) for span in shown.spans)


def test_no_preview_where_it_can_not_be_seen() -> None:
    video = Video.open(np.zeros((6, 60, 80, 3), np.uint8))
    assert preview(answer(), video, Console(force_terminal=False)) is None
    assert preview(answer(), video, Console(force_terminal=True, color_system="256", width=80)) is None
    assert preview(answer(), video, terminal(20)) is None


def test_phrases_carry_numbers_beside_colours() -> None:
    assert coloured(answer()).plain == "A box [2]."


def test_an_answer_is_shown_while_it_is_written_and_then_makes_room() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system="truecolor", width=80)
    red, green, blue = PALETTE[0]
    colour = f"38;2;{red};{green};{blue}m"
    with answering(console, Console(file=io.StringIO())) as told:
        assert told is not None
        told(so_far("I see <p> a do"))
        assert "a do" in screen.getvalue() and colour not in screen.getvalue()
        told(so_far("I see <p> a dog </p> [SEG]"))
        assert f"{colour}a dog" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K"), (
        "what was shown is wiped, for the whole answer to be printed"
    )


def test_where_nobody_watches_nothing_is_written_between() -> None:
    pipe = io.StringIO()
    for shown in (Console(file=pipe, force_terminal=False), None):
        with answering(shown, Console(file=pipe, force_terminal=False)) as told:
            assert told is None
    assert pipe.getvalue() == ""
