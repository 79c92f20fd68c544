"""Answers in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

    from grounding_core.types import GroundedText


def coloured(answer: GroundedText) -> Text:
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


def visibility(answer: GroundedText) -> list[str]:
    """One line a track: in how many frames it is seen, and where."""
    lines = []
    for track in answer.tracks:
        seen = track.visible()
        where = f", frames {seen[0]} to {seen[-1]}" if seen else ""
        lines.append(f"[{track.id}] visible in {len(seen)} of {len(track)} frames{where}")
    return lines
