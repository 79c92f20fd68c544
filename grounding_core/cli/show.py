"""Answers in the terminal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import Console
    from rich.text import Text

    from grounding_core.markup import Marked
    from grounding_core.types import GroundedText
    from grounding_core.video import Video


def coloured(answer: GroundedText | Marked) -> Text:
    """The answer's text, each phrase in its mask's colour and followed by its track ids."""
    from rich.style import Style
    from rich.text import Text

    from grounding_core.drawing import track_color

    text = Text()
    end = 0
    for span in sorted(answer.spans, key=lambda span: (span.start, span.end)):
        start = max(end, span.start)
        text.append(answer.text[end:start])
        end = max(start, span.end)
        if span.tracks:
            red, green, blue = track_color(span.tracks[0])
            style = Style(color=f"rgb({red},{green},{blue})", bold=True)
            numbers = ", ".join(str(track) for track in span.tracks)
            text.append(answer.text[start:end], style).append(f" [{numbers}]", style)
        else:
            text.append(answer.text[start:end])
    return text.append(answer.text[end:])


@contextmanager
def answering(shown: Console | None, status: Console) -> Iterator[Callable[[Marked], None] | None]:
    """While a question is answered: where to tell the text as it is written, each phrase in colour once
    it points at something. What was shown goes away with the end, for the whole answer to be printed.

    Args:
        shown: where the answer will be printed; None where it won't be.
        status: says meanwhile that something is going on, where the text can't be shown: in pipes and files.
    """
    from rich.console import Group
    from rich.live import Live
    from rich.spinner import Spinner

    if shown is None or not shown.is_terminal:
        with status.status("Answering"):
            yield None
        return
    spinner = Spinner("dots", "Answering", style="dim")
    with Live(spinner, console=shown, transient=True) as live:
        yield lambda marked: live.update(Group(coloured(marked), spinner), refresh=True)


COLUMNS = 24
"""Width of one picture of a preview, in characters."""


def preview(answer: GroundedText, video: Video, console: Console, frames: int = 3) -> Text | None:
    """A few frames with their masks, two pixels a character; None where the terminal can't show them.

    Raises:
        VideoError: a frame can't be decoded.
    """
    import numpy as np
    from rich.text import Text

    from grounding_core.drawing import draw_tracks
    from grounding_core.video import sample_indices

    room = (console.width + 1) // (COLUMNS + 1)
    if not console.is_terminal or console.color_system != "truecolor" or not room:
        return None
    indices = sorted(set(sample_indices(len(video), min(frames, room))))
    height, width = video.size
    rows = max(2, round(COLUMNS * height / width / 2) * 2)
    pictures = [
        np.asarray(draw_tracks(pixels, answer.tracks, index, (rows, COLUMNS)))
        for index, pixels in zip(indices, video.frames(indices), strict=True)
    ]
    text = Text()
    for row in range(0, rows, 2):
        for place, picture in enumerate(pictures):
            text.append(" " if place else "")
            for column in range(COLUMNS):
                upper, lower = (_rgb(picture[row + half, column]) for half in (0, 1))
                text.append("▀", f"{upper} on {lower}")
        text.append("\n")
    return text.append("  ".join(f"frame {index}".ljust(COLUMNS - 1) for index in indices), "dim")


def _rgb(color: Iterable[int]) -> str:
    red, green, blue = color
    return f"rgb({red},{green},{blue})"


def visibility(answer: GroundedText) -> list[str]:
    """One line a track: in how many frames it is seen, and where."""
    lines = []
    for track in answer.tracks:
        seen = track.visible()
        where = f", frames {seen[0]} to {seen[-1]}" if seen else ""
        lines.append(f"[{track.id}] visible in {len(seen)} of {len(track)} frames{where}")
    return lines
