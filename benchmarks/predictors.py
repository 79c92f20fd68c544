"""Who answers: a recipe's model, behind the interface that the baselines share."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from grounding_core.config import Recipe
from grounding_core.interfaces.dataset import Sample
from grounding_core.interfaces.grounder import Grounder, opened
from grounding_core.plugins import registry
from grounding_core.types import GroundedText

_LIBRARIES = ("grounding-core", "torch", "transformers")


class Predictor(Protocol):
    """Answers the questions of one video at a time."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def fingerprint(self) -> dict[str, str]:
        """What must be equal for two runs to give the same predictions; costs no model."""

    def open(self, sample: Sample) -> Any:
        """Everything about the sample's video that its questions share."""

    def answer(self, context: Any, samples: Sequence[Sample]) -> list[GroundedText]:
        """Answers to samples of the opened video, in their order."""


def load_grounder(recipe: Recipe) -> Grounder:
    """The recipe's model, on a GPU where there is one. Here, and only here, the harness loads torch."""
    from grounding_core.compose import build

    return build(recipe)


class RecipePredictor:
    """The model of a recipe; built when the first video is opened."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.name = recipe.name
        self._grounder: Grounder | None = None

    def fingerprint(self) -> dict[str, str]:
        """Recipe, weights, and the versions of everything that takes part."""
        facts = {"recipe": self.recipe.name, "recipe_hash": self.recipe.fingerprint()}
        if self.recipe.checkpoint is not None:
            facts["checkpoint"] = _digest(Path(self.recipe.checkpoint))
        if self.recipe.sampling is not None:
            how = self.recipe.sampling.select
            chosen = "evenly spread" if how is None else f"chosen by {how.type}"
            facts["sampling"] = f"{self.recipe.sampling.frames} frames, {chosen}"
        facts["generation"] = f"greedy, at most {self.recipe.generation.max_new_tokens} tokens"
        for library in (*_LIBRARIES, *self._plugins()):
            try:
                facts[library] = version(library)
            except PackageNotFoundError:
                continue
        return facts

    def _plugins(self) -> list[str]:
        """Distributions of the recipe's components."""
        parts = [*self.recipe.parts().values(), *([self.recipe.model] if self.recipe.model else [])]
        types = {part.type for part in parts}
        return sorted({offer.distribution for offer in registry().entries() if offer.entry.name in types})

    def load(self) -> Grounder:
        """The model, built once."""
        if self._grounder is None:
            self._grounder = load_grounder(self.recipe)
        return self._grounder

    def open(self, sample: Sample) -> Any:
        """Encode the sample's video."""
        return opened(self.load(), sample.open_video())

    def answer(self, context: Any, samples: Sequence[Sample]) -> list[GroundedText]:
        """All questions in one call, so that a model may decode them together."""
        return list(self.load().ground(context, [sample.query for sample in samples]))


def _digest(folder: Path) -> str:
    """Hash of the weight files; of the name itself where it is no local folder (a hub id)."""
    content = hashlib.sha256()
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        content.update(str(folder).encode())
    for file in files:
        with file.open("rb") as handle:
            while block := handle.read(1 << 22):
                content.update(block)
    return content.hexdigest()[:16]


def platform_facts() -> dict[str, str]:
    """Versions that shape scores rather than predictions."""
    libraries = ("grounding-core", "numpy", "scipy", "pycocotools", "pycocoevalcap")
    found = {"python": platform.python_version()}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found
