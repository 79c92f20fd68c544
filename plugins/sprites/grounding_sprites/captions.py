"""Dense captions: every thing, its looks and its motion, and which words name it."""

from __future__ import annotations

from dataclasses import dataclass

from grounding_sprites.facts import Facts
from grounding_sprites.language import FROM, TOWARDS
from grounding_sprites.scene import DIRECTIONS, Thing


@dataclass(frozen=True)
class Caption:
    """A dense caption.

    Attributes:
        text: one or more sentences.
        phrases: for each thing named, its id and the positions of its words in ``text`` split on blanks.
    """

    text: str
    phrases: tuple[tuple[int, tuple[int, ...]], ...]


_JOINTS: dict[int, list[tuple[str, str]]] = {
    3: [("", "while"), (",", "and"), (".", "")],
    4: [("", "while"), (".", ""), (",", "and"), (".", "")],
    5: [("", "while"), (",", "and"), (".", ""), ("", "while"), (".", "")],
}
"""Number of things -> punctuation and word after each."""


def caption(facts: Facts) -> Caption:
    """Every thing with its motion, in the order in which they appear; at the start from left to right."""
    order = sorted(facts.things, key=_appearance)
    words: list[str] = []
    phrases = []
    names: set[str] = set()
    starts = True
    for thing, (mark, joint) in zip(order, _JOINTS[len(order)], strict=True):
        described = " ".join([*_size_word(thing), thing.name])
        article = "another" if described in names else ("an" if described[0] in "aeiou" else "a")
        names.add(described)
        words.append(article.capitalize() if starts else article)
        phrases.append((thing.id, tuple(range(len(words), len(words) + len(described.split())))))
        words += [*described.split(), *_deed(thing).split()]
        words[-1] += mark
        words += [joint] if joint else []
        starts = mark == "."
    return Caption(" ".join(words), tuple(phrases))


def _appearance(thing: Thing) -> tuple[int, float]:
    """First frame of a thing, and how far from the left it is then."""
    return next((frame, pose.x) for frame, pose in enumerate(thing.poses) if pose is not None)


def _size_word(thing: Thing) -> list[str]:
    sizes = [pose.size for pose in thing.poses if pose is not None]
    if min(sizes) >= 42.5:
        return ["large"]
    return ["small"] if max(sizes) <= 31.5 else []


def _deed(thing: Thing) -> str:
    if thing.motion in DIRECTIONS:
        return f"moves {thing.motion}"
    if thing.motion == "enter":
        return f"enters {FROM[thing.side]}"
    if thing.motion == "leave":
        return f"leaves {TOWARDS[thing.side]}"
    return {"grow": "grows", "shrink": "shrinks", "turn": "turns", "stay": "stays still"}[thing.motion]
