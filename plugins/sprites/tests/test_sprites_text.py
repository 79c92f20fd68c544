"""Every expression is checked again from masks and looks alone, not from the facts that made it."""

from __future__ import annotations

import re

import numpy as np

from grounding_sprites.art import CATEGORIES, COLOURS, plural
from grounding_sprites.language import motion_clauses, named
from grounding_sprites.scene import FRAMES, SIZE
from grounding_sprites.story import tell

SINGULAR = {plural(category): category for category in CATEGORIES} | {"objects": "object"}
AXES = {"left": (1, -1), "right": (1, 1), "up": (0, -1), "down": (0, 1), "top": (0, -1), "bottom": (0, 1)}
AXES |= {"above": (0, -1), "below": (0, 1)}


class Witness:
    """Looks at visible pixels only."""

    def __init__(self, story):
        self.visible = story.facts.rendered.visible
        self.whole = story.facts.rendered.whole
        self.names = {thing.id: (thing.colour, thing.category) for thing in story.facts.things}

    def matching(self, words):
        """Things that "red cat", "object", "small dog" may be."""
        ids = set(self.names)
        for word in words.split():
            word = SINGULAR.get(word, word)
            if word in COLOURS:
                ids = {i for i in ids if self.names[i][0] == word}
            elif word in CATEGORIES:
                ids = {i for i in ids if self.names[i][1] == word}
            elif word not in ("object", "two", "three", "four", "five"):
                raise AssertionError(f"unknown word {word!r}")
        return ids

    def centre(self, thing, frame):
        points = np.argwhere(self.whole[thing, frame])
        return (points.min(axis=0) + points.max(axis=0)) / 2 if len(points) else None

    def shift(self, thing):
        first, last = self.centre(thing, 0), self.centre(thing, FRAMES - 1)
        return None if first is None or last is None else last - first

    def size(self, thing):
        """Area when it is seen whole, averaged."""
        areas = self.whole[thing].sum(axis=(1, 2))
        return areas[areas > 0.6 * areas.max()].mean()

    def does(self, ids, verb):
        """Those of ``ids`` for which the verb holds."""
        words = [re.sub(r"s$", "", word) if i == 0 else word for i, word in enumerate(verb.split())]
        if words[0] == "move":
            axis, sign = AXES[words[1]]
            return {i for i in ids if self.shift(i) is not None and self.shift(i)[axis] * sign > 12}
        if words[0] in ("enter", "leave"):
            edge = 0 if words[0] == "enter" else FRAMES - 1
            found = {i for i in ids if not self.whole[i, edge].any()}
            if words[-1] in ("first", "last"):
                key = {i: np.flatnonzero(self.whole[i].any(axis=(1, 2)))[edge and -1] for i in found}
                best = (max if words[-1] == "last" else min)(key.values())
                return {i for i in found if key[i] == best}
            return {i for i in found if self.at_side(i, words[-1], edge)} if len(words) > 1 else found
        areas = self.whole.sum(axis=(2, 3)).astype(float)
        changes = {i: areas[i, -1] / areas[i, 0] if areas[i, 0] else 0 for i in ids}
        if words[0] == "grow":
            return {i for i in ids if changes[i] > 1.5}
        if words[0] == "shrink":
            return {i for i in ids if 0 < changes[i] < 0.66 and areas[i, -1]}
        still = {i for i in ids if (self.whole[i] == self.whole[i, :1]).all()}
        if words[0] == "stay":
            return still
        if words[0] == "turn":
            return {i for i in ids - still if 0.85 < changes[i] < 1.18 and np.abs(self.shift(i)).max() < 10}
        raise AssertionError(f"unknown verb {verb!r}")

    def at_side(self, thing, side, edge):
        frames = np.flatnonzero(self.whole[thing].any(axis=(1, 2)))
        mask = self.whole[thing, frames[0] if edge == 0 else frames[-1]]
        axis, sign = AXES[side]
        return bool(np.take(mask, 0 if sign < 0 else SIZE - 1, axis=axis).any())

    def furthest(self, ids, side, than=None):
        axis, sign = AXES[side]
        here = {i: self.centre(i, 0)[axis] * sign for i in ids if self.whole[i, 0].any()}
        if than is not None:
            (other,) = self.matching(than)
            limit, across = self.centre(other, 0)[axis] * sign, self.centre(other, 0)[1 - axis]
            return {
                i
                for i, reach in here.items()
                if reach > limit + 8 and abs(self.centre(i, 0)[1 - axis] - across) < reach - limit
            }
        return {i for i, reach in here.items() if reach == max(here.values())}

    def sized(self, ids, word):
        best = max if word.startswith("larg") else min
        return {best(ids, key=self.size)}

    def meant(self, text):
        """Referents of a noun phrase, or None where pixels alone do not tell (passing behind)."""
        text = re.sub(r"^the (first|last) (.+) that (\w+)$", r"the \2 that \3 \1", text)
        subject, _, verb = text.removeprefix("the ").partition(" that ")
        if verb.startswith("pass"):
            return None
        subject, where, than = self.split_place(subject)
        size = re.match(r"(largest|smallest|large|small) ", subject)
        ids = self.matching(subject[size.end() :] if size else subject)
        if size:
            ids = self.sized(ids, size[1])
        if where:
            ids = self.furthest(ids, where, than)
        return self.does(ids, verb) if verb else ids

    @staticmethod
    def split_place(subject):
        if found := re.match(r"(.+) (?:on|at) the (left|right|top|bottom)$", subject):
            return found[1], found[2], None
        if found := re.match(r"(.+) (left of|right of|above|below) the (.+)$", subject):
            return found[1], found[2].split()[0], found[3]
        return subject, None, None


def as_noun_phrase(expression):
    """Questions and statements said as noun phrases."""
    text = expression.text
    if expression.form == "ask":
        text = text.rstrip("?").replace("what ", "which object ", 1).removeprefix("which ")
        if found := re.match(r"(.+) is the (\w+)$", text):
            return f"the {found[2]} {found[1]}"
        if found := re.match(r"(\w+) is (\w+)$", text):
            return f"the {found[2]} {found[1]}"
        text = f"the {text}"
    if expression.form == "refer":
        return text
    if " is " in text:
        return text.replace(" is ", " ", 1)
    return re.sub(r" (moves|enters|leaves|grows|shrinks|turns|stays|passes)\b", r" that \1", text, count=1)


def test_expressions_mean_their_referents_and_nothing_else(stories):
    kinds = set()
    for story in stories("train") + stories("test"):
        witness = Witness(story)
        for expression in (*story.expressions, *story.statements):
            meant = witness.meant(as_noun_phrase(expression))
            if meant is None:
                continue
            kinds.add(expression.kind)
            assert meant == set(expression.referents), (story.index, expression)
    assert kinds == {"category", "colour", "colour_category", "size", "place", "motion", "relation", "order"}


def test_places_and_sizes_have_clear_margins(stories):
    seen = set()
    for story in stories("train") + stories("test"):
        witness = Witness(story)
        for expression in story.expressions:
            subject, where, _ = witness.split_place(expression.text.removeprefix("the "))
            if expression.form != "refer" or " that " in subject or len(expression.referents) > 1:
                continue
            (thing,) = expression.referents
            if expression.kind == "place":
                axis, sign = AXES[where]
                others = [i for i in witness.matching(subject) - {thing} if witness.whole[i, 0].any()]
                for other in others:
                    gap = (witness.centre(thing, 0) - witness.centre(other, 0))[axis] * sign
                    assert gap > 11, expression
                seen.add("place")
            if expression.kind == "size":
                word, _, noun = subject.partition(" ")
                for other in witness.matching(noun) - {thing}:
                    ratio = np.sqrt(witness.size(thing) / witness.size(other))
                    assert (ratio if word.startswith("larg") else 1 / ratio) > 1.15, expression
                seen.add("size")
    assert seen == {"place", "size"}


def test_passing_behind_and_in_front():
    found = set()
    for index in range(40):
        facts = tell(5, "train", index).facts
        for clause in motion_clauses(facts):
            for thing in named(facts, clause.tests) if clause.verb.startswith("passes") else ():
                (other,) = clause.apart
                both = facts.rendered.whole[thing] & facts.rendered.whole[other]
                nearer = other if "behind" in clause.verb else thing
                assert both.any() and (facts.rendered.visible[nearer] & both).any()
                found.add("behind" in clause.verb)
        if len(found) == 2:
            return
    raise AssertionError("nothing passes behind and in front of anything in 40 videos")


def test_captions_name_every_thing_once_with_its_words(stories):
    for story in stories("train") + stories("test"):
        words = story.caption.text.split(" ")
        named = {}
        for thing, places in story.caption.phrases:
            phrase = " ".join(words[place] for place in places)
            named[thing] = phrase
            look = story.facts.things[thing]
            assert phrase.removeprefix("small ").removeprefix("large ") == f"{look.colour} {look.category}"
            article = words[places[0] - 1].lower()
            assert article in ("another", "an" if phrase[0] in "aeiou" else "a")
        assert set(named) == {thing.id for thing in story.facts.things}
        assert len(story.caption.phrases) == len(named)
        assert story.caption.text.endswith(".") and ",." not in story.caption.text


def test_only_training_splits_ask_and_state_in_refseg(stories):
    assert {e.form for story in stories("test") for e in story.expressions} == {"refer"}
    assert {e.form for story in stories("val") for e in story.expressions} == {"refer", "ask", "locate"}


def test_most_expressions_need_what_they_say(stories):
    said = [e for story in stories("test") for e in story.expressions]
    assert np.mean([e.needed for e in said]) > 0.75
    assert np.mean([len(e.referents) > 1 for e in said]) < 0.12
