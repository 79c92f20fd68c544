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

    from grounding_core.render import colour

    text = Text()
    end = 0
    for span in answer.spans:
        text.append(answer.text[end : span.start])
        if span.tracks:
            red, green, blue = colour(span.tracks[0])
            style = Style(color=f"rgb({red},{green},{blue})", bold=True)
            numbers = ", ".join(str(track) for track in span.tracks)
            text.append(answer.phrase(span), style).append(f" [{numbers}]", style)
        else:
            text.append(answer.phrase(span))
        end = span.end
    return text.append(answer.text[end:])


def visibility(answer: GroundedText) -> list[str]:
    """One line a track: in how many frames it is seen, and where."""
    lines = []
    for track in answer.tracks:
        seen = track.visible()
        where = f", frames {seen[0]} to {seen[-1]}" if seen else ""
        lines.append(f"[{track.id}] visible in {len(seen)} of {len(track)} frames{where}")
    return lines
