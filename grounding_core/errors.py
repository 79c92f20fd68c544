"""Errors a user can act on: what is wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence


class GroundingError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        problem: one line that names the thing that is wrong.
        remedy: one line that says what to do about it.

    The command line prints ``str(error)`` without a traceback and exits with a code other than 0.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem
        self.remedy = remedy


class VideoError(GroundingError):
    """A video can't be opened or decoded; names the path and every reader that was tried."""


class PluginError(GroundingError):
    """A component is unknown, claimed twice, or its plugin failed to load."""


class RecipeError(GroundingError):
    """A recipe is wrong. Holds all problems found, each as ``(path in the recipe, message)``."""

    def __init__(self, recipe: str, problems: Sequence[tuple[str, str]]) -> None:
        lines = [f"{path}: {message}" if path else message for path, message in problems]
        count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        super().__init__(f"Recipe {recipe} has {count}: " + "; ".join(lines))
        self.recipe = recipe
        self.problems = tuple(problems)


class CheckpointError(GroundingError):
    """A checkpoint is missing, truncated, or does not fit the recipe; names the file and key."""


class DataError(GroundingError):
    """A data set is missing, incomplete or malformed; names the file and the entry."""


class QueryError(GroundingError):
    """A question can't be asked: empty, or longer than the language model's context."""
