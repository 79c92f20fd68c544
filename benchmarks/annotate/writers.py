"""Describers and composers: without a model, through an endpoint, with a language model of a plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from benchmarks.annotate import writing
from benchmarks.annotate.items import Item, Thing, View
from benchmarks.annotate.measured import HUES
from benchmarks.annotate.speakers import (
    Asked,
    EndpointOptions,
    Generating,
    LanguageModelOptions,
    Message,
    Spoken,
)
from benchmarks.annotate.steps import Notes, Step
from benchmarks.datasets.markup import Caption

_MARKUP = re.compile(r"[\[\]()]")
_CLAUSE = re.compile(r"(?<=\w)( (?:that|which|who|whose) )")
"""What begins after the words that name an object."""
ADJECTIVES = {name for _, name in HUES} | {"black", "white", "grey", "gray", "brown", "small", "large", "big"}
_STATEMENT = re.compile(
    r"((?:the|a|an|this|one) (?:[\w-]+ ){1,3}?)(is|was|has|had|[\w-]+[^\Wsui]s) "
    r"(?=(?:a|an|the|in|on|at|to|up|down|from|off|out|into|onto|over|under|behind|before|after|past|around|"
    r"across|along|away|back|with|by|left|right|first|last|still|again|twice|slowly|quickly|towards?|near|next|"
    r"through|above|below|\w+ing)\b)",
    re.IGNORECASE,
)
"""A subject in the singular and its verb: a guess that serves where no model writes."""
ARTICLES = ("a", "an", "the", "one", "two", "three", "four", "several", "some")


class ClassName(Step):
    """Adds nothing to an object's class."""

    def describe(self, thing: Thing, view: View, notes: Notes) -> str:
        """Nothing."""
        return ""


class Lister(Step):
    """Lists the objects, or takes the caption that people wrote."""

    version = "4"

    def compose(
        self,
        item: Item,
        descriptions: Mapping[int, str],
        refused: Sequence[tuple[str, Sequence[str]]],
        notes: Notes,
    ) -> str:
        """See `benchmarks.annotate.steps.Composer`."""
        notes.add("compose", self)
        if item.draft is not None:
            return marked(item.draft)
        return plain(item, descriptions)


class _Writing(Spoken):
    """A describer and composer that asks a speaker."""

    version = writing.VERSION

    def describe(self, thing: Thing, view: View, notes: Notes) -> str:
        """A sentence about its crops, or a phrase about its class where the model reads text alone."""
        messages = writing.describe(thing, view.tracks[thing.id], view.video, pictures=self.speaker.pictures)
        return " ".join(notes.ask("describe", self.speaker, messages, self.version).split())

    def compose(
        self,
        item: Item,
        descriptions: Mapping[int, str],
        refused: Sequence[tuple[str, Sequence[str]]],
        notes: Notes,
    ) -> str:
        """A caption; refused answers are sent back with what is wrong with them."""
        messages: Sequence[Message] = writing.compose(item, descriptions)
        for answer, problems in refused:
            messages = writing.again(messages, answer, problems)
        return notes.ask("compose", self.speaker, messages, self.version)


class EndpointWriter(_Writing):
    """Any OpenAI-compatible endpoint."""

    Config = EndpointOptions

    def __init__(self, config: EndpointOptions) -> None:
        self.speaker = Asked(config)


class LanguageModelWriter(_Writing):
    """The language model of any plugin."""

    Config = LanguageModelOptions

    def __init__(self, config: LanguageModelOptions) -> None:
        self.speaker = Generating(config)


def plain(item: Item, descriptions: Mapping[int, str]) -> str:
    """A caption without a model: it lists what is said of each object."""
    phrases = []
    for thing in item.things:
        said = min(thing.sayings, key=len, default="") or descriptions.get(thing.id, "") or thing.name
        words = _MARKUP.sub("", said).strip().rstrip(".!?;,") or "object"
        starts = words.split()[0].lower() in ARTICLES
        article = "" if starts else "an " if words[0].lower() in "aeiou" else "a "
        named, rest = _parted(f"{article}{words}")
        phrases.append(f"[{named}]({thing.id}){rest}")
    *most, last = phrases
    return f"The video shows {', '.join(most)} and {last}." if most else f"The video shows {last}."


def _parted(words: str) -> tuple[str, str]:
    """The words that name an object, and what is said of it, as a relative clause."""
    named, *clause = _CLAUSE.split(words, maxsplit=1)
    if clause:
        return named, "".join(clause)
    statement = _STATEMENT.match(words)
    # The red glasses on the table: no verb after an adjective.
    if statement is None or statement[1].split()[-1].lower() in ADJECTIVES:
        return words, ""
    return statement[1].strip(), f" that {words[statement.start(2) :]}"


def marked(caption: Caption) -> str:
    """A caption with its marks."""
    text, read = "", 0
    for span in caption.spans:
        ids = ", ".join(map(str, span.tracks))
        text += f"{caption.text[read : span.start]}[{caption.text[span.start : span.end]}]({ids})"
        read = span.end
    return text + caption.text[read:]
