"""A video with everything that is said about it, from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from grounding_core.errors import DataError

from grounding_sprites.art import held_out
from grounding_sprites.backgrounds import UNSEEN
from grounding_sprites.captions import Caption, caption
from grounding_sprites.facts import Facts
from grounding_sprites.language import Expression, choose, expressions
from grounding_sprites.render import render
from grounding_sprites.scene import sample_scene

SPLIT_SEEDS = {"train": 11, "val": 12, "test": 13}
"""Split -> its seed when none is given."""

_REFER, _ASK, _LOCATE, _STATEMENTS, _QUESTIONS = 8, 3, 3, 2, 2
_LEAST_EXPRESSIONS = 6
_ATTEMPTS = 400


@dataclass(frozen=True)
class Story:
    """One video of a split.

    Attributes:
        index: its number in the split.
        facts: scene, pixels, and what is true of them.
        expressions: of all forms, for referring segmentation.
        statements: declarative and interrogative sentences, one thing each, for spatio-temporal grounding.
        caption: the dense caption.
    """

    index: int
    facts: Facts
    expressions: tuple[Expression, ...]
    statements: tuple[Expression, ...]
    caption: Caption

    def tags(self, expression: Expression | None = None) -> dict[str, str]:
        """Facts for breakdowns, of an expression or of the whole video."""
        things = self.facts.things
        if expression is None:
            unseen = any(held_out(thing.category, thing.colour) for thing in things)
        else:
            unseen = expression.unseen(things)
        tags = {
            "combination": "unseen" if unseen else "seen",
            "background": "unseen" if self.facts.scene.background in UNSEEN else "seen",
        }
        return {"kind": expression.kind, **tags} if expression else tags


def tell(seed: int, split: str, index: int) -> Story:
    """The story number ``index`` of a split; depends on nothing else."""
    rng = np.random.default_rng([seed, SPLIT_SEEDS[split], index])
    for _ in range(_ATTEMPTS):
        scene = sample_scene(rng, unseen=split == "test")
        if scene is None:
            continue
        facts = Facts(scene, render(scene))
        if not facts.usable():
            continue
        story = _write(rng, facts, split, index)
        if story is not None:
            return story
    raise DataError(f"No usable scene for video {index} of {split} with seed {seed}.", "Use another seed.")


def _write(rng: np.random.Generator, facts: Facts, split: str, index: int) -> Story | None:
    """A story about rendered facts; None if there is too little to say."""
    said = expressions(facts)
    by_form = {form: [e for e in said if e.form == form] for form in ("refer", "ask", "locate")}
    refer = choose(rng, by_form["refer"], _REFER)
    sentences = []
    # An interval that is the whole video tells nothing about when: half is about things that come or go.
    passing = {thing.id for thing in facts.things if None in thing.poses}
    for form, count in (("locate", _STATEMENTS), ("ask", _QUESTIONS)):
        clear = [e for e in by_form[form] if len(e.referents) == 1 and _unbroken(facts, e)]
        picked = choose(rng, [e for e in clear if e.referents[0] in passing], 1)
        rest = [e for e in clear if e not in picked]
        sentences.append([*picked, *choose(rng, rest, count - len(picked))])
    if len(refer) < _LEAST_EXPRESSIONS or any(len(s) < 2 for s in sentences):
        return None
    extra = []
    if split != "test":
        extra = choose(rng, by_form["ask"], _ASK) + choose(rng, by_form["locate"], _LOCATE)
    return Story(index, facts, (*refer, *extra), (*sentences[0], *sentences[1]), caption(facts))


def _unbroken(facts: Facts, expression: Expression) -> bool:
    return facts.interval(facts.things[expression.referents[0]]) is not None
