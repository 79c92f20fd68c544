"""Expressions, questions and statements: said only where the facts leave no doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from grounding_sprites.art import held_out, plural
from grounding_sprites.facts import Facts, Test
from grounding_sprites.scene import DIRECTIONS, SIDES, Thing

PLACES = {"left": "on the left", "right": "on the right", "up": "at the top", "down": "at the bottom"}
BESIDE = {"left": "left of", "right": "right of", "up": "above", "down": "below"}
FROM = {side: f"from the {side}" for side in SIDES}
TOWARDS = {"left": "to the left", "right": "to the right", "top": "at the top", "bottom": "at the bottom"}
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}


@dataclass(frozen=True)
class Clause:
    """Something said of a thing.

    Attributes:
        kind: the tag of expressions that rest on it.
        modifier: as part of a noun phrase, "that moves left" or "on the left".
        verb: as a statement, "moves left"; also asks: "what moves left?".
        many: the verb of several things, "move left"; empty where there is none.
        tests: all must hold.
        apart: things that the words themselves name.
    """

    kind: str
    modifier: str
    verb: str
    many: str
    tests: tuple[Test, ...]
    apart: tuple[int, ...] = ()


@dataclass(frozen=True)
class Expression:
    """Words that name exactly some things of a scene.

    Attributes:
        text: a noun phrase (``refer``), a question (``ask``) or a statement (``locate``).
        form: the query kind.
        kind: what the reader must look at (see ``KIND_WEIGHTS``).
        referents: ids of the things, sorted.
        needed: whether leaving out a part would make it ambiguous.
    """

    text: str
    form: str
    kind: str
    referents: tuple[int, ...]
    needed: bool = True

    def unseen(self, things: Sequence[Thing]) -> bool:
        """Whether a referent combines category and colour as no training video does."""
        return any(held_out(things[i].category, things[i].colour) for i in self.referents)


def named(facts: Facts, tests: Sequence[Test]) -> tuple[int, ...]:
    """Things for which all tests hold; empty if one is too close to call."""
    found = []
    for thing in facts.things:
        answers = [test(thing) for test in tests]
        if False in answers:
            continue
        if None in answers:
            return ()
        found.append(thing.id)
    return tuple(found)


def motion_clauses(facts: Facts) -> list[Clause]:
    """Everything that may be said of movements, true of something or not."""

    def clause(verb: str, many: str, test: Test) -> Clause:
        return Clause("motion", f"that {verb}", verb, many, (test,))

    clauses = [clause(f"moves {way}", f"move {way}", facts.moves(way)) for way in DIRECTIONS]
    clauses += [
        clause("grows", "grow", facts.grows),
        clause("shrinks", "shrink", facts.shrinks),
        clause("turns", "turn", facts.turns),
        clause("stays still", "stay still", facts.stays),
        clause("enters", "enter", facts.enters()),
        clause("leaves", "leave", facts.leaves()),
    ]
    for side in SIDES:
        clauses.append(clause(f"enters {FROM[side]}", f"enter {FROM[side]}", facts.enters(side)))
        clauses.append(clause(f"leaves {TOWARDS[side]}", f"leave {TOWARDS[side]}", facts.leaves(side)))
    for other in facts.things:
        if named(facts, [facts.category(other.category)]) != (other.id,):
            continue
        for behind, words in ((True, "behind"), (False, "in front of")):
            verb = f"passes {words} the {other.category}"
            test = facts.passes(other, behind=behind)
            clauses.append(Clause("motion", f"that {verb}", verb, "", (test,), (other.id,)))
    return clauses


def order_clauses(facts: Facts) -> list[Clause]:
    """Who is first or last to enter or to leave."""
    clauses = []
    for enters, verb in ((True, "enters"), (False, "leaves")):
        for last, word in ((False, "first"), (True, "last")):
            test = facts.first_to_change(enters=enters, last=last)
            clauses.append(Clause("order", f"that {verb} {word}", f"{verb} {word}", "", (test,)))
    return clauses


def place_clauses(facts: Facts, among: Test | None) -> list[Clause]:
    """Where things are at the start, compared with their own kind."""
    clauses = []
    for way, where in PLACES.items():
        clauses.append(Clause("place", where, f"is {where}", "", (facts.extreme_place(way, among),)))
    return clauses


def relation_clauses(facts: Facts) -> list[Clause]:
    """Where things are at the start, seen from a thing that its category alone names."""
    clauses = []
    for other in facts.things:
        if other.poses[0] is None or named(facts, [facts.category(other.category)]) != (other.id,):
            continue
        for way, words in BESIDE.items():
            where = f"{words} the {other.category}"
            test = facts.beside(other, way)
            clauses.append(Clause("relation", where, f"is {where}", "", (test,), (other.id,)))
    return clauses


def expressions(facts: Facts) -> list[Expression]:
    """Every expression of every form that is clear in a scene, in a fixed order, without repeats."""
    found = {(e.form, e.text): e for e in _all(facts)}
    return list(found.values())


def _all(facts: Facts) -> Iterator[Expression]:
    yield from _plain(facts)
    categories = sorted({thing.category for thing in facts.things})
    colours = sorted({thing.colour for thing in facts.things})
    nouns: list[tuple[str, str, tuple[Test, ...]]] = [("", "object", ())]
    nouns += [("", category, (facts.category(category),)) for category in categories]
    nouns += [(colour, "object", (facts.colour(colour),)) for colour in colours]
    moving, ordered, related = motion_clauses(facts), order_clauses(facts), relation_clauses(facts)
    for adjective, noun, tests in nouns:
        members = named(facts, tests)
        among = tests[0] if tests else None
        subject = f"{adjective} {noun}".strip()
        yield from _sized(facts, subject, among, members, noun)
        for clause in moving + ordered + related + place_clauses(facts, among):
            if any(facts.things[i].category == noun for i in clause.apart):
                continue
            referents = named(facts, [*tests, *clause.tests])
            if len(referents) == 1:
                yield from _forms(subject, clause, referents, needed=len(members) > 1)
            elif len(referents) > 1 and clause.many and not adjective:
                text = f"the {NUMBERS[len(referents)]} {plural(noun)} that {clause.many}"
                yield Expression(text, "refer", clause.kind, referents)


def _plain(facts: Facts) -> Iterator[Expression]:
    """By what things are, not by what they do or where they are; and statements about them."""
    looks: dict[str, tuple[str, tuple[Test, ...], bool]] = {}
    for thing in facts.things:
        kind, tint = facts.category(thing.category), facts.colour(thing.colour)
        both_needed = len(named(facts, [kind])) > 1 and len(named(facts, [tint])) > 1
        looks[thing.category] = ("category", (kind,), True)
        looks[f"{thing.colour} object"] = ("colour", (tint,), True)
        looks[thing.name] = ("colour_category", (kind, tint), both_needed)
    for words, (kind_tag, tests, needed) in looks.items():
        referents = named(facts, tests)
        if len(referents) == 1:
            yield Expression(f"the {words}", "refer", kind_tag, referents, needed)
            thing = facts.things[referents[0]]
            if kind_tag == "colour":
                yield Expression(f"which object is {thing.colour}?", "ask", kind_tag, referents)
            if kind_tag == "colour_category":
                question = f"which {thing.category} is {thing.colour}?"
                yield Expression(question, "ask", kind_tag, referents, needed)
            for clause in motion_clauses(facts):
                if named(facts, [*tests, *clause.tests]) == referents and thing.id not in clause.apart:
                    yield Expression(f"the {words} {clause.verb}", "locate", kind_tag, referents, needed)
        elif len(referents) > 1:
            *rest, noun = words.split()
            many = " ".join([*rest, plural(noun)])
            yield Expression(f"the {NUMBERS[len(referents)]} {many}", "refer", kind_tag, referents)


def _sized(
    facts: Facts, subject: str, among: Test | None, members: tuple[int, ...], noun: str
) -> Iterator[Expression]:
    for largest, superlative, plain in ((True, "largest", "large"), (False, "smallest", "small")):
        referents = named(facts, [facts.extreme_size(largest, among)])
        if len(referents) != 1:
            continue
        words = [superlative] if noun == "object" or len(members) > 2 else [superlative, plain]
        for word in words:
            yield Expression(f"the {word} {subject}", "refer", "size", referents)
        yield Expression(f"which {subject} is the {superlative}?", "ask", "size", referents)
        for clause in motion_clauses(facts):
            if all(test(facts.things[referents[0]]) for test in clause.tests) and not clause.apart:
                yield Expression(f"the {words[-1]} {subject} {clause.verb}", "locate", "size", referents)


def _forms(subject: str, clause: Clause, referents: tuple[int, ...], *, needed: bool) -> Iterator[Expression]:
    kind = clause.kind
    yield Expression(f"the {subject} {clause.modifier}", "refer", kind, referents, needed)
    if kind == "order":
        verb, word = clause.verb.split()
        yield Expression(f"the {word} {subject} that {verb}", "refer", kind, referents, needed)
    question = f"what {clause.verb}?" if subject == "object" else f"which {subject} {clause.verb}?"
    yield Expression(question, "ask", kind, referents, needed)
    if subject != "object":
        yield Expression(f"the {subject} {clause.verb}", "locate", kind, referents, needed)


KIND_WEIGHTS = {"category": 1.0, "colour": 1.0, "colour_category": 1.3, "size": 1.2}
KIND_WEIGHTS |= {"place": 1.1, "motion": 2.4, "relation": 1.1, "order": 3.0}
"""Kinds of expressions, and how often each is drawn."""


def choose(rng: np.random.Generator, candidates: Sequence[Expression], count: int) -> list[Expression]:
    """Up to ``count`` expressions: kinds by weight, referents evenly, needless words and plurals rarely.

    Args:
        rng: the only source of chance.
        candidates: of one form.
        count: how many.
    """
    left, chosen = list(candidates), list[Expression]()
    uses: dict[int, int] = {}
    kinds: dict[str, int] = {}
    while left and len(chosen) < count:
        groups: dict[str, list[Expression]] = {}
        for expression in left:
            groups.setdefault(expression.kind, []).append(expression)
        odds = np.array(
            [
                KIND_WEIGHTS[kind] / (1 + kinds.get(kind, 0)) * (1.0 if any(e.needed for e in group) else 0.2)
                for kind, group in groups.items()
            ]
        )
        kind = list(groups)[rng.choice(len(odds), p=odds / odds.sum())]
        pool = groups[kind]
        rivals = Counter(e.referents for e in pool)
        likes = np.array(
            [
                (1.0 if e.needed else 0.1)
                * (0.12 if len(e.referents) > 1 else 1.0)
                / rivals[e.referents]
                / (1 + 2 * max(uses.get(i, 0) for i in e.referents))
                for e in pool
            ]
        )
        pick = pool[rng.choice(len(pool), p=likes / likes.sum())]
        if len(pick.referents) > 1 and any(len(e.referents) > 1 for e in chosen):
            left.remove(pick)
            continue
        chosen.append(pick)
        left.remove(pick)
        kinds[kind] = kinds.get(kind, 0) + 1
        for i in pick.referents:
            uses[i] = uses.get(i, 0) + 1
    return chosen
