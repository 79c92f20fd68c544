"""Who answers: a recipe's model, behind the interface that the baselines share."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from grounding_core.config import Part, Recipe
from grounding_core.errors import GroundingError
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
        """Recipe, weights, files and recipes that options name, and versions of everything that takes part.

        How frames are sampled and answers decoded is told of recipes of parts only: a whole model has its own
        way, which its options or the recipe inside it tell.
        """
        facts = {"recipe": self.recipe.name, "recipe_hash": self.recipe.fingerprint()}
        if self.recipe.checkpoint is not None:
            facts["checkpoint"] = _digest(Path(self.recipe.checkpoint))
        if self.recipe.sampling is not None and self.recipe.model is None:
            how = self.recipe.sampling.select
            chosen = "evenly spread" if how is None else f"chosen by {how.type}"
            facts["sampling"] = f"{self.recipe.sampling.frames} frames, {chosen}"
        if self.recipe.model is None:
            facts["generation"] = f"greedy, at most {self.recipe.generation.max_new_tokens} tokens"
        for library in (*_LIBRARIES, *self._plugins()):
            try:
                facts[library] = version(library)
            except PackageNotFoundError:
                continue
        for role, part in self._parts().items():
            facts |= self._named(role, part.options, facts)
        select = self.recipe.sampling.select if self.recipe.sampling is not None else None
        return facts | ({} if select is None else self._named("sampling.select", select.options, facts))

    def _named(self, place: str, options: Mapping[str, Any], outer: Mapping[str, str]) -> dict[str, str]:
        """Place of an option -> digest of the file or folder it names, or a fact of the recipe it names.

        What a recipe inside this one has in common with it is told once.
        """
        found: dict[str, str] = {}
        for at, key, value, beside in _texts(place, options):
            inner = _recipe_of(value, beside) if key == "recipe" else None
            if inner is not None:
                facts = RecipePredictor(inner).fingerprint()
                found |= {f"{at} {name}": fact for name, fact in facts.items() if outer.get(name) != fact}
            elif os.path.isfile(path := os.path.expanduser(value)) or os.path.isdir(path):
                found[at] = _content(Path(path), weights=value != self.recipe.checkpoint)
        return found

    def _parts(self) -> dict[str, Part]:
        """The recipe's parts, or the whole model."""
        return self.recipe.parts() | ({"model": self.recipe.model} if self.recipe.model else {})

    def _plugins(self) -> list[str]:
        """Distributions of the recipe's components."""
        types = {part.type for part in self._parts().values()}
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
        _add(content, file)
    return content.hexdigest()[:16]


Text = tuple[str, str, str, Mapping[str, Any]]
"""Place, key and value of an option that is a text, and the options beside it."""


def _texts(place: str, options: Mapping[str, Any]) -> Iterator[Text]:
    """The texts among a component's options and those of components inside it, but for their types."""
    for key, value in options.items():
        several = isinstance(value, (list, tuple))
        for number, item in enumerate(value if several else [value]):
            at = f"{place}.{key}.{number}" if several else f"{place}.{key}"
            if isinstance(item, Mapping):
                yield from _texts(at, item)
            elif isinstance(item, str) and key != "type":
                yield at, key, item, options


def _recipe_of(source: str, beside: Mapping[str, Any]) -> Recipe | None:
    """The recipe inside another, with its overrides; None where there is none: building it will say so."""
    overrides = beside.get("overrides")
    try:
        return Recipe.load(source, overrides if isinstance(overrides, (list, tuple)) else ())
    except GroundingError:
        return None


def _content(path: Path, *, weights: bool) -> str:
    """Hash of a file, or of the files of a folder with their names.

    Args:
        path: what is there.
        weights: False leaves out a folder's weights: of the recipe's checkpoint they are known already.

    Raises:
        GroundingError: one can't be read.
    """
    content = hashlib.sha256()
    try:
        files = sorted(file for file in path.glob("[!.]*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            if path.is_dir():
                if file.suffix == ".safetensors" and not weights:
                    continue
                content.update(f"{file.name} {file.stat().st_size} ".encode())
            _add(content, file)
    except OSError as error:
        raise GroundingError(
            f"{path}, which the recipe names, can't be read: {error.strerror}.", "Check its permissions."
        ) from error
    return content.hexdigest()[:16]


def _add(content: Any, file: Path) -> None:
    with file.open("rb") as handle:
        while block := handle.read(1 << 22):
            content.update(block)


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
