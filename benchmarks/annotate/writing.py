"""The words: what is asked about an object's crops, about a caption of all, and about questions."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.annotate.items import Item, Thing
from benchmarks.annotate.speakers import Message
from grounding_core.masks import MaskTrack
from grounding_core.video import Video

VERSION = "2"
"""Of the prompts, for provenance; answers are kept under the words themselves."""
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

_QUESTIONS = """\
A video shows these objects:

{objects}

Its caption: {caption}

Write {count} different questions about the video that can be answered from this alone, each with an answer \
of one sentence. Mark the words of an answer that name an object as [words](number), and nothing in the \
questions. Write each on two lines:
Q: the question
A: the answer with [words](number)"""

_AGAIN = "That can't be used: {problems} Write the whole answer again."


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
    return jpeg(np.ascontiguousarray(frame[upper : int(y1 + down) + 1, left : int(x1 + right) + 1]))


def jpeg(picture: npt.NDArray[np.uint8]) -> str:
    """A picture (H, W, 3) as the data URI of a JPEG, no larger than a model needs."""
    image = Image.fromarray(picture)
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
    asked = _COMPOSE.format(objects=_listed(item, descriptions))
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": asked}]


def questions(item: Item, marked: str, count: int) -> list[Message]:
    """What to ask of a questioner; ``marked`` is the caption with its marks."""
    asked = _QUESTIONS.format(objects=_listed(item, {}), caption=marked, count=count)
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": asked}]


def _listed(item: Item, descriptions: Mapping[int, str]) -> str:
    lines = []
    for thing in item.things:
        told = [thing.name, descriptions.get(thing.id, ""), *thing.sayings]
        lines.append(f"{thing.id}: {'; '.join(words for words in told if words) or 'an object'}")
    for group in item.together:
        lines.append(f"{' and '.join(map(str, group.things))} together: {group.saying}")
    return "\n".join(lines)


def again(messages: Sequence[Message], answer: str, problems: Sequence[str]) -> list[Message]:
    """The conversation after an answer that can't be used."""
    told = _AGAIN.format(problems=" ".join(problems))
    return [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": told}]
