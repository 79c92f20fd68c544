"""Finds what installed distributions offer, and imports it when it is used. Loads nothing heavy.

A distribution names a module in the entry-point group ``grounding_core``; the module implements the
hook of `grounding_core.hookspecs`. The parts of this repository come through the same door.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.resources
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pluggy

from grounding_core import hookspecs
from grounding_core.errors import PluginError
from grounding_core.hookspecs import GROUP, INTERFACE, Entry, Kind


class Offer(NamedTuple):
    """An entry and the distribution it comes from."""

    entry: Entry
    distribution: str
    version: str


@dataclass(frozen=True)
class Plugin:
    """One entry point of a distribution that loaded.

    Attributes:
        distribution, version: as ``pip list`` shows them.
        name: of the entry point.
        module: what the entry point names.
        entries: what it offers.
    """

    distribution: str
    version: str
    name: str
    module: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Failure:
    """One entry point that could not be loaded; ``error`` is the exception on one line."""

    distribution: str
    version: str
    name: str
    module: str
    error: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.error})"


class Registry:
    """Everything the installed plugins offer.

    Args:
        entry_points: those of the group ``grounding_core``. Each is loaded by itself: one that fails
            is kept in `failures` and hides no other.
    """

    def __init__(self, entry_points: Iterable[importlib.metadata.EntryPoint]) -> None:
        self.plugins: list[Plugin] = []
        self.failures: list[Failure] = []
        for point in sorted(entry_points, key=lambda point: (point.name, point.value)):
            distribution = point.dist.name if point.dist else "unknown distribution"
            version = point.dist.version if point.dist else "?"
            try:
                entries = _entries_of(point)
            # A plugin is foreign code: whatever it raises belongs to it, not to the other plugins.
            except (Exception, SystemExit) as error:  # noqa: BLE001
                text = _one_line(error)
                self.failures.append(Failure(distribution, version, point.name, point.value, text))
            else:
                self.plugins.append(Plugin(distribution, version, point.name, point.value, entries))

    def entries(self, kind: Kind | None = None) -> list[Offer]:
        """What is offered, by kind and name; all kinds if ``kind`` is None. Includes collisions."""
        offers = [
            Offer(entry, plugin.distribution, plugin.version)
            for plugin in self.plugins
            for entry in plugin.entries
            if kind in (None, entry.kind)
        ]
        return sorted(offers, key=lambda offer: (offer.entry.kind, offer.entry.name, offer.distribution))

    def names(self, kind: Kind) -> list[str]:
        """The names installed of a kind, sorted, each once."""
        return sorted({offer.entry.name for offer in self.entries(kind)})

    def collisions(self) -> list[tuple[Offer, ...]]:
        """Groups of offers that claim the same name of the same kind."""
        groups: dict[tuple[str, str], list[Offer]] = {}
        for offer in self.entries():
            groups.setdefault((offer.entry.kind, offer.entry.name), []).append(offer)
        return [tuple(group) for group in groups.values() if len(group) > 1]

    def find(self, kind: Kind, name: str) -> Offer:
        """The one offer of that kind and name; imports nothing.

        Raises:
            PluginError: nobody offers it, or more than one plugin does.
        """
        found = [offer for offer in self.entries(kind) if offer.entry.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            owners = " and ".join(f"{offer.distribution} {offer.version}" for offer in found)
            raise PluginError(
                f"The {_words(kind)} {name!r} is claimed by {owners}.", "Uninstall one, or have it renamed."
            )
        raise PluginError(f"There is no {_words(kind)} {name!r}.", self._where_it_may_be(kind, name))

    def load(self, kind: Kind, name: str) -> Any:
        """Import and return the class or function behind a name.

        Raises:
            PluginError: as `find`; or the import fails (says what to install).
        """
        offer = self.find(kind, name)
        module, _, attribute = offer.entry.target.partition(":")
        try:
            found = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except Exception as error:
            raise self._unusable(offer, error) from error
        return found

    def path(self, kind: Kind, name: str) -> Path:
        """The file behind a name, for entries whose target is ``"package:path/in/package"``.

        Raises:
            PluginError: as `find`; or the file is not in the installed package.
        """
        offer = self.find(kind, name)
        package, _, inside = offer.entry.target.partition(":")
        try:
            path = Path(str(importlib.resources.files(package).joinpath(inside)))
        except Exception as error:
            raise self._unusable(offer, error) from error
        if not path.is_file():
            raise self._unusable(offer, FileNotFoundError(f"no file {path}"))
        return path

    def _unusable(self, offer: Offer, error: Exception) -> PluginError:
        entry, distribution, version = offer
        return PluginError(
            f"The {_words(entry.kind)} {entry.name!r} of {distribution} {version} can't be loaded from "
            f"{entry.target!r}: {_one_line(error)}.",
            f"Try: {entry.hint}" if entry.hint else f"Reinstall or update {distribution}.",
        )

    def _where_it_may_be(self, kind: Kind, name: str) -> str:
        installed = self.names(kind)
        near = difflib.get_close_matches(name, installed)
        elsewhere = sorted({offer.entry.kind for offer in self.entries() if offer.entry.name == name})
        hints = [f"Did you mean {' or '.join(map(repr, near))}?"] if near else []
        if elsewhere:
            hints.append(f"There is a {' and a '.join(map(_words, elsewhere))} of that name.")
        hints.append(f"Installed: {', '.join(installed) or 'none'}.")
        if self.failures:
            failed = "; ".join(map(str, self.failures))
            hints.append(f"It may belong to a plugin that failed to load: {failed}.")
        return " ".join(hints)


@lru_cache(maxsize=1)
def registry() -> Registry:
    """What is installed in this interpreter; discovered once."""
    return Registry(importlib.metadata.entry_points(group=GROUP))


def _entries_of(point: importlib.metadata.EntryPoint) -> tuple[Entry, ...]:
    # A manager for each entry point: check_pending() then speaks of this plugin alone.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    module = point.load()
    wanted = getattr(module, "INTERFACE", INTERFACE)
    if wanted > INTERFACE:
        raise PluginError(
            f"it is built for interface version {wanted}, and this grounding-core has {INTERFACE}.",
            "Update grounding-core, or install an older version of the plugin.",
        )
    manager.register(module, point.name)
    manager.check_pending()
    answers: list[Sequence[Entry]] = manager.hook.grounding_entries()
    if not answers:
        raise TypeError(f"{point.value} has no @hookimpl function grounding_entries")
    entries = tuple(answers[0])
    for entry in entries:
        if not isinstance(entry, Entry):
            raise TypeError(f"grounding_entries() must return Entry objects, got {type(entry).__name__}")
        if entry.kind not in get_args(Kind):
            kinds = ", ".join(get_args(Kind))
            raise ValueError(f"entry {entry.name!r} is of unknown kind {entry.kind!r}; known: {kinds}")
        if not (entry.name and all(entry.target.partition(":"))):
            raise ValueError(
                f"entry {entry.name!r} needs a name and a target 'package:object', got {entry.target!r}"
            )
    return entries


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
