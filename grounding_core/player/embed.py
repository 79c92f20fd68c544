"""The player as HTML that needs no other file."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from grounding_core import drawing
from grounding_core.errors import GroundingError
from grounding_core.player.film import Json, blank, film, layer
from grounding_core.types import GroundedText

FRAMES = 32
LONGEST = 360


def script() -> str:
    """JavaScript that defines ``Grounding``."""
    return _file("player.js")


def style() -> str:
    """Its style sheet; everything in it is below ``.gp``."""
    return _file("player.css")


def _file(name: str) -> str:
    return files("grounding_core.player").joinpath(name).read_text(encoding="utf-8")


def palette() -> list[list[str]]:
    """[colour, ink on it] of the tracks' colours, as CSS."""
    return [[f"rgb{color}", f"rgb{drawing.ink_on(color)}"] for color in drawing.PALETTE]


def in_script(value: Any) -> str:
    """A value as JSON that can stand inside a ``<script>``."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def phrases(answer: GroundedText) -> str:
    """The text as HTML, each phrase in its mask's colour with its tracks' numbers; needs no script."""
    pieces, end = [], 0
    for span in sorted(answer.spans, key=lambda span: (span.start, span.end)):
        if span.start < end or not span.tracks:
            continue
        red, green, blue = drawing.track_color(span.tracks[0])
        numbers = ", ".join(map(str, span.tracks))
        pieces.append(escape(answer.text[end : span.start]))
        pieces.append(
            f'<b style="border-bottom:3px solid rgb({red},{green},{blue})">{escape(answer.phrase(span))}</b>'
            f"<sup>{numbers}</sup>"
        )
        end = span.end
    return "".join(pieces) + escape(answer.text[end:])


def answer_layers(answer: GroundedText, *, frames: int, longest: int) -> tuple[Json, list[Json]]:
    """An answer as film and layer for the player; on plain ground where its video is not at hand."""
    track = answer.tracks[0] if answer.tracks else None
    try:
        shown = None if answer.video is None else film(answer.video, frames=frames, longest=longest)
    except GroundingError:
        shown = None  # the file has gone since
    if shown is None:
        size, length = (track.size, len(track)) if track is not None else ((1, 1), 1)
        shown = blank(size, length, frames=frames, longest=longest)
    return shown.to_json(), [layer(shown, "", answer)]


def answer_html(answer: GroundedText, *, frames: int = FRAMES, longest: int = LONGEST) -> str:
    """An answer that displays itself: text with coloured phrases, and its masks playing over the video.

    Args:
        answer: what to show.
        frames: at most so many pictures.
        longest: side of the pictures in pixels.

    Where scripts are not run, the text is left.
    """
    words = f'<p style="margin:0">{phrases(answer) or "<i>(no words)</i>"}</p>'
    if not answer.tracks and answer.video is None:
        return words
    shown, layers = answer_layers(answer, frames=frames, longest=longest)
    return f'<div style="max-width:480px">{mounted(shown, layers, words)}</div>'


def mounted(shown: Json, layers: Sequence[Json], fallback: str = "") -> str:
    """A player of its own, apart from the style of the page around it.

    Args:
        shown: a film's JSON.
        layers: what plays over it.
        fallback: HTML that is there until the script has run.
    """
    name = f"grounding-{secrets.token_hex(6)}"
    return (
        f'<div id="{name}">{fallback}</div><script>(() => {{{script()}\n'
        f'const home = document.getElementById("{name}"), root = document.createElement("div");\n'
        f"const sheet = document.createElement('style'); sheet.textContent = {in_script(style())};\n"
        # A second display of the same output must not fail: a shadow root is attached once.
        'const inside = home.shadowRoot ?? home.attachShadow({mode: "open"});\n'
        f"inside.replaceChildren(sheet, root);\n"
        f"Grounding.mount(root, {in_script(shown)}, {in_script(layers)}, {in_script(palette())}, "
        "{play: true});})();</script>"
    )
