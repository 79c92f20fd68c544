"""Image–text components: how well words fit what is seen of an object. Kind ``image_text``.

A component is constructed with its validated ``Config`` and has one method, `ImageText.similarity`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from benchmarks.annotate.measured import HUES, colour
from benchmarks.annotate.speakers import Asked, EndpointOptions
from benchmarks.annotate.steps import component, part_of
from benchmarks.annotate.writing import jpeg
from grounding_core.interfaces.component import ComponentConfig, Configured
from grounding_core.masks import MaskTrack
from grounding_core.types import Query
from grounding_core.video import Video

MARGIN = 0.15
"""Share of a box that is shown around it."""
COLOURS = {name for _, name in HUES} | {"black", "white", "grey", "brown"}
SHARED = 0.5
"""Share of two phrases' words from which they may name the same."""


@dataclass(frozen=True)
class Sight:
    """An object in a frame.

    Attributes:
        frame: uint8 RGB (H, W, 3), all of it.
        mask: bool (H, W), with at least one pixel.
    """

    frame: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]

    @property
    def crop(self) -> npt.NDArray[np.uint8]:
        """The object's box with some margin around it."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        down, right = (int(MARGIN * (side[-1] - side[0] + 1)) for side in (rows, columns))
        upper, left = max(rows[0] - down, 0), max(columns[0] - right, 0)
        return np.ascontiguousarray(self.frame[upper : rows[-1] + down + 1, left : columns[-1] + right + 1])


class ImageText(Protocol):
    """Compares pictures of objects with words."""

    def similarity(self, sights: Sequence[Sight], words: Sequence[str]) -> npt.NDArray[np.float64]:
        """(sights, words): larger where they fit better, NaN where it can't tell; comparable within a row."""


class ByColour(Configured):
    """Colour words against the colour of most pixels, without a model: 1 agrees, 0 differs, else NaN."""

    def __init__(self, config: ComponentConfig) -> None:
        del config

    def similarity(self, sights: Sequence[Sight], words: Sequence[str]) -> npt.NDArray[np.float64]:
        """See `ImageText`."""
        found = np.full((len(sights), len(words)), np.nan)
        named = [content_words(text) & COLOURS for text in words]
        for row, sight in zip(found, sights, strict=True):
            seen = colour(sight.frame[sight.mask])
            if seen:
                row[:] = [float(seen in said) if said else np.nan for said in named]
        return found


class EndpointImageText(Configured):
    """A model behind an endpoint that is shown the crop and picks the words that fit it."""

    Config = EndpointOptions

    def __init__(self, config: EndpointOptions) -> None:
        self._speaker = Asked(config)

    def similarity(self, sights: Sequence[Sight], words: Sequence[str]) -> npt.NDArray[np.float64]:
        """1 for the words it picks, 0 for the others."""
        found = np.zeros((len(sights), len(words)))
        listed = "\n".join(f"{number}: {text}" for number, text in enumerate(words, start=1))
        for row, sight in zip(found, sights, strict=True):
            parts = [
                {
                    "type": "text",
                    "text": f"Which of these fits the object in the picture best?\n\n{listed}\n\n"
                    "Answer with its number alone.",
                },
                {"type": "image_url", "image_url": {"url": jpeg(sight.crop)}},
            ]
            answer, _ = self._speaker.ask([{"role": "user", "content": parts}])
            picked = re.search(r"\d+", answer)
            if picked is not None and 1 <= int(picked[0]) <= len(words):
                row[int(picked[0]) - 1] = 1.0
        return found


class RecipeConfig(ComponentConfig):
    """Which model is asked."""

    recipe: str = Field(description="An installed recipe, or the path of one.")


class AskedRecipe(Configured):
    """Any recipe as image–text component: words fit where its mask for them covers the object.

    The frame is its video, the words an expression; the score is the IoU of the answer with the mask.
    """

    Config = RecipeConfig

    def __init__(self, config: RecipeConfig) -> None:
        self._recipe = config.recipe
        self._model: Any = None

    def similarity(self, sights: Sequence[Sight], words: Sequence[str]) -> npt.NDArray[np.float64]:
        """See `ImageText`."""
        from grounding_core import load

        if self._model is None:
            self._model = load(self._recipe)
        found = np.zeros((len(sights), len(words)))
        if not words:
            return found
        for row, sight in zip(found, sights, strict=True):
            context = self._model.encode(Video.open(sight.frame))
            answers = self._model.ground(context, [Query(text, "refer") for text in words])
            for column, answer in enumerate(answers):
                masks = [track.mask(0) for track in answer.tracks]
                united = np.any(masks, axis=0) if masks else np.zeros_like(sight.mask)
                both, either = (united & sight.mask).sum(), (united | sight.mask).sum()
                row[column] = both / max(either, 1)
        return found


def named_image_text(text: str) -> ImageText:
    """The component that a user names in YAML, e.g. ``{type: open_clip, model: ViT-B-32}``.

    Raises:
        DataError: it is not YAML.
        PluginError: nobody offers it.
        RecipeError: its options are wrong.
    """
    found: ImageText = component("image_text", part_of(text, "--image-text"), "image_text")
    return found


def best_frame(track: MaskTrack) -> int | None:
    """The frame in which most of an object is seen; None if it never is."""
    areas = track.areas()
    return max(areas, key=areas.__getitem__) if areas else None


def unlike(phrase: str, others: Sequence[str]) -> list[str]:
    """Those of other phrases that share few words with one; each once."""
    own = content_words(phrase)
    return [
        other
        for other in dict.fromkeys(others)
        if (theirs := content_words(other)) and 2 * len(own & theirs) < SHARED * (len(own) + len(theirs))
    ]


def content_words(phrase: str) -> set[str]:
    """The words of a phrase that say something, in lower case."""
    return {word for word in re.findall(r"\w+", phrase.lower()) if word not in ("a", "an", "the")}
