"""How a plugin says what another project's checkpoint means. No torch here."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

Shape = tuple[int, ...]


def _pattern(text: str) -> re.Pattern[str]:
    pieces = re.split(r"\{(\w+)\}", text)
    for i, name in enumerate(pieces):
        form = r"\d+" if name == "n" else ".+?"
        pieces[i] = f"(?P<{name}>{form})" if i % 2 else re.escape(name)
    return re.compile("".join(pieces))


def matches(pattern: str, key: str) -> bool:
    """True if a key has the form of a pattern; see `Rule`."""
    return _pattern(pattern).fullmatch(key) is not None


@dataclass(frozen=True)
class Rule:
    """Keys of the other project, and what they are called here.

    In a pattern ``{n}`` stands for a number and any other ``{name}`` for one or more characters, the same on
    both sides: a rule reads both ways.

    Attributes:
        theirs: one pattern; several are one tensor here, joined along the first dimension.
        ours: one pattern; several are copies of one tensor.
    """

    theirs: tuple[str, ...]
    ours: tuple[str, ...]

    @cached_property
    def _patterns(self) -> tuple[list[re.Pattern[str]], list[re.Pattern[str]]]:
        return [_pattern(p) for p in self.theirs], [_pattern(p) for p in self.ours]

    def move(self, key: str, *, back: bool = False) -> Move | None:
        """The tensors a key belongs with, if the rule is about it; ``back``: the key is one of ours."""
        for pattern in self._patterns[back]:
            found = pattern.fullmatch(key)
            if found is not None:
                names = found.groupdict()
                return Move(
                    tuple(p.format(**names) for p in self.theirs), tuple(p.format(**names) for p in self.ours)
                )
        return None


@dataclass(frozen=True)
class Move:
    """Keys there that are keys here."""

    theirs: tuple[str, ...]
    ours: tuple[str, ...]


def rename(theirs: str, ours: str) -> Rule:
    """A rule for one tensor on each side."""
    return Rule((theirs,), (ours,))


@dataclass(frozen=True)
class Extra:
    """A file beside the main checkpoint, given as ``--name PATH``.

    Attributes:
        name: of the option.
        about: what it is, for people.
        rules: its keys -> the main checkpoint's keys (in ``ours``).
        ignored: patterns of its keys that belong to parts the model does not have.
        wins: its tensors replace the main checkpoint's; otherwise they only fill what is missing there.
    """

    name: str
    about: str
    rules: tuple[Rule, ...]
    ignored: tuple[str, ...] = ()
    wins: bool = False


@dataclass(frozen=True)
class Facts:
    """What a checkpoint turns out to be.

    Attributes:
        recipe: as in a recipe's YAML; ``checkpoint`` is added.
        unused: patterns of keys that no output depends on.
    """

    recipe: dict[str, Any]
    unused: tuple[str, ...] = ()


class Converter(ABC):
    """From another project's checkpoint to a recipe and weights of this package, and back.

    Class attributes:
        about: one line on what is converted.
        rules: the first that fits a key counts.
        extras: files beside the main checkpoint.
    """

    about: ClassVar[str]
    rules: ClassVar[tuple[Rule, ...]]
    extras: ClassVar[tuple[Extra, ...]] = ()

    @abstractmethod
    def read(self, config: Mapping[str, Any], shapes: Mapping[str, Shape]) -> Facts:
        """Say what the checkpoint is.

        Args:
            config: its ``config.json``, empty if it has none.
            shapes: of all its tensors, by key.

        Raises:
            CheckpointError: it is something else.
        """

    @abstractmethod
    def shapes(self, recipe: Mapping[str, Any]) -> Mapping[str, Shape]:
        """Shapes of all tensors of the recipe's model, by key; reads no weights."""

    @classmethod
    def move(cls, key: str, *, rules: Sequence[Rule] | None = None, back: bool = False) -> Move | None:
        """Where a key goes, or None if no rule is about it."""
        for rule in cls.rules if rules is None else rules:
            found = rule.move(key, back=back)
            if found is not None:
                return found
        return None
