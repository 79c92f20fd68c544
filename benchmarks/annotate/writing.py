"""The words: an object described from its crops, a caption composed of all objects, and the check of it."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.annotate.items import Item, Thing
from benchmarks.annotate.speakers import Message
from benchmarks.datasets.markup import Caption, parse
from grounding_core.masks import MaskTrack
from grounding_core.video import Video

VERSION = "1"
"""Of the prompts; it is part of what answers are kept under."""
CROPS = 3
SIDE = 336
"""Longer side of a crop in pixels."""
MARGIN = 0.15
"""Share of a box that is shown around it."""

_DESCRIBE = """\
The pictures show one object of a video at different times: a {name}. It fills the picture; other things \
may be seen around it. Say in one short sentence what it looks like and what it does. Answer with the \
sentence alone, without quotation marks."""

_NAME = "Name a {name} in a video in one short phrase. Answer with the phrase alone."

_SYSTEM = "You write dense captions of videos in which every object that is named is marked with its number."

_COMPOSE = """\
A video shows these objects:

{objects}

Write a caption of the whole video, in one to four plain sentences, that mentions every object. Mark the \
words that name an object, and no others, as [words](number): [A brown dog](0) follows [two children](1, 2). \
Say nothing that the list does not say. If an object can't be mentioned, add a last line: LEFT OUT: number"""

_AGAIN = "That can't be used: {problems} Write the whole caption again."

_LEFT_OUT = re.compile(r"^\s*LEFT OUT:([\d,\s]*)\.?\s*$", re.IGNORECASE | re.MULTILINE)
_MARKUP = re.compile(r"[\[\]()]")


def describe(thing: Thing, track: MaskTrack, video: Video, *, pictures: bool) -> list[Message]:
    """What to ask about an object: its class, and crops of it over time.

    Args:
        thing: the object.
        track: its masks; visible in some frame.
        video: where it is.
        pictures: whether who is asked takes pictures; else the class has to do.
    """
    if not pictures:
        return [{"role": "user", "content": _NAME.format(name=thing.name or "thing")}]
    seen = track.visible()
    shown = sorted({seen[(2 * k + 1) * len(seen) // (2 * CROPS)] for k in range(CROPS)})
    parts: list[Mapping[str, Any]] = [{"type": "text", "text": _DESCRIBE.format(name=thing.name or "thing")}]
    for index, frame in zip(shown, video.frames(shown), strict=True):
        parts.append({"type": "image_url", "image_url": {"url": _crop(frame, track.box(index))}})
    return [{"role": "user", "content": parts}]


def _crop(frame: Any, box: tuple[float, float, float, float] | None) -> str:
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = box or (0, 0, width, height)
    right, down = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    left, upper = max(int(x0 - right), 0), max(int(y0 - down), 0)
    cut = np.ascontiguousarray(frame[upper : int(y1 + down) + 1, left : int(x1 + right) + 1])
    image = Image.fromarray(cut)
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def compose(item: Item, descriptions: Mapping[int, str]) -> list[Message]:
    """What to ask of a composer.

    Args:
        item: the video.
        descriptions: object id -> what was described, where it was.
    """
    lines = []
    for thing in item.things:
        told = [thing.name, descriptions.get(thing.id, ""), *thing.sayings]
        lines.append(f"{thing.id}: {'; '.join(words for words in told if words) or 'an object'}")
    for group in item.together:
        lines.append(f"{' and '.join(map(str, group.things))} together: {group.saying}")
    asked = _COMPOSE.format(objects="\n".join(lines))
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": asked}]


def again(messages: Sequence[Message], answer: str, problems: Sequence[str]) -> list[Message]:
    """The conversation after an answer that can't be used."""
    told = _AGAIN.format(problems=" ".join(problems))
    return [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": told}]


def plain(item: Item, descriptions: Mapping[int, str]) -> str:
    """A caption without a model: it lists what is said of each object."""
    phrases = []
    for thing in item.things:
        said = min(thing.sayings, key=len, default="") or descriptions.get(thing.id, "") or thing.name
        words = _MARKUP.sub("", said).strip().rstrip(".!?;,") or "object"
        starts = words.split()[0].lower() in ("a", "an", "the", "two", "three")
        article = "" if starts else "an " if words[0].lower() in "aeiou" else "a "
        phrases.append(f"[{article}{words}]({thing.id})")
    *most, last = phrases
    return f"The video shows {', '.join(most)} and {last}." if most else f"The video shows {last}."


def check(answer: str, item: Item) -> tuple[Caption | None, tuple[int, ...], list[str]]:
    """What is wrong with a composer's answer.

    Returns:
        the caption (None if its markup can't be read), the objects it declares left out, and the problems, a
        sentence each; without problems the caption can be used.
    """
    left = tuple(int(id) for line in _LEFT_OUT.findall(answer) for id in re.findall(r"\d+", line))
    words = " ".join(_LEFT_OUT.sub("", answer).split())
    try:
        caption = parse(words)
    except ValueError as error:
        return None, left, [f"The marks can't be read: {error}."]
    problems = []
    if not caption.text.strip():
        problems.append("There is no caption.")
    if re.search(r"\]\s*\(|\[[^\]]*$|\]\([^)]*$", caption.text) or "[" in caption.text or "]" in caption.text:
        problems.append("Some brackets mark nothing: write [words](number) and no other brackets.")
    known = {thing.id for thing in item.things}
    unknown = sorted(set(caption.objects) - known)
    if unknown:
        problems.append(f"There is no object {', '.join(map(str, unknown))}.")
    missing = sorted(known - set(caption.objects) - set(left))
    if missing:
        problems.append(f"It does not mention {', '.join(map(str, missing))}.")
    if not caption.spans:
        problems.append("No words are marked.")
    return caption, left, problems
