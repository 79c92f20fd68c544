"""Models that answer, for the page and for the API alike."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from grounding_core import DEFAULT_RECIPE, load
from grounding_core.config import Recipe
from grounding_core.errors import GroundingError, QueryError
from grounding_core.interfaces.grounder import ask, opened
from grounding_core.markup import Marked
from grounding_core.plugins import registry
from grounding_core.types import GroundedText, Query
from grounding_core.video import Video
from grounding_demo.limits import Limits


class Service:
    """Answers questions with one model at a time, which is loaded when it is first asked for.

    Args:
        recipe: the one used when none is named; the default recipe where it is installed.
        limits: what is taken.
    """

    def __init__(self, recipe: str | None = None, limits: Limits | None = None) -> None:
        names = registry().names("recipe")
        first = recipe or (DEFAULT_RECIPE if DEFAULT_RECIPE in names or not names else names[0])
        self.limits = limits or Limits()
        self.recipes = [first, *(name for name in names if name != first)]
        self._lock = threading.Lock()
        self._model: tuple[str, Any] | None = None
        self._context: tuple[str, Any] | None = None

    def choices(self) -> list[tuple[str, str]]:
        """(what a list of recipes says, name) of each; those that can't answer here say so."""
        return [(name + _lack(name), name) for name in self.recipes]

    def known(self, recipe: str | None) -> str:
        """The recipe asked for, or the default.

        Raises:
            QueryError: it is not one of `recipes`. Files are never read by name.
        """
        name = recipe or self.recipes[0]
        if name not in self.recipes:
            raise QueryError(f"There is no recipe {name!r}.", f"Use one of {', '.join(self.recipes)}.")
        return name

    def ask(
        self,
        video: Video,
        query: Query,
        recipe: str | None = None,
        told: Callable[[Marked], None] | None = None,
    ) -> GroundedText:
        """Answer one question; questions in a row about one video share its encoding.

        Args:
            video: what is asked about.
            query: the question.
            recipe: None: the first.
            told: is told of the text while it is written, where the model can do that.

        Raises:
            QueryError: the question is too long, or the recipe unknown.
            GroundingError: the model can't be loaded, or the video can't be decoded.
        """
        name = self.known(recipe)
        if len(query.text) > self.limits.letters:
            raise QueryError(f"The question has more than {self.limits.letters} characters.", "Shorten it.")
        with self._lock:
            if self._model is None or self._model[0] != name:
                self._model = self._context = None  # room for the next before it is loaded
                self._model = (name, load(name))
            model = self._model[1]
            if self._context is None or self._context[0] != video.source:
                self._context = None
                self._context = (video.source, opened(model, video))
            return ask(model, self._context[1], query, told=told)

    def forget(self, video: Video) -> None:
        """Let go of what is kept about a video whose file goes away."""
        with self._lock:
            if self._context is not None and self._context[0] == video.source:
                self._context = None


def _lack(name: str) -> str:
    try:
        return "" if Recipe.load(name).has_weights else " (brings no weights)"
    except GroundingError:
        return " (does not load)"
