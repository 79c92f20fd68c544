"""Answers in a terminal: words in colour, small pictures."""

from __future__ import annotations

import numpy as np
from rich.console import Console

from grounding_core import GroundedText, MaskTrack, Span, Video
from grounding_core.cli.show import COLUMNS, coloured, preview
from grounding_core.drawing import PALETTE


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
