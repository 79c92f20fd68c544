"""Plain videos: a detector, or any recipe, finds the objects."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from benchmarks.annotate.items import Item, Source, Thing, content_of
from benchmarks.annotate.steps import Notes, Step, Where
from benchmarks.metrics.gcg import tube_iou
from benchmarks.predictors import RecipePredictor
from grounding_core.config import Part, Recipe
from grounding_core.errors import DataError
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText, Query
from grounding_core.video import Video, sample_indices

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".m4v", ".mpg", ".mpeg", ".ts")
PICTURES = (".jpg", ".jpeg", ".png")


class VideosConfig(ComponentConfig):
    """Which model looks, and for what."""

    recipe: str = Field(
        default="videoglamm-tiny",
        description="An installed recipe, or the path of one: a pipeline or a whole model, such as a "
        "detector with a tracker.",
    )
    ask: tuple[str, ...] = Field(
        default=(),
        description="What to look for, e.g. [person, dog]: each is asked for as an expression, and names "
        "what is found. Empty: the model describes the video, and its phrases name the objects.",
    )
    least: float = Field(
        default=0.0005,
        ge=0,
        lt=1,
        description="Smallest share of the picture that an object fills at its largest.",
    )
    same: float = Field(
        default=0.7, gt=0, le=1, description="Overlap (tube IoU) from which two findings are one object."
    )
    licence: str = Field(default="not stated", description="Of the videos, for the manifest.")


class Videos(Step):
    """A video, or a folder of videos and folders of frames; a model finds the objects."""

    Config = VideosConfig

    def __init__(self, config: VideosConfig) -> None:
        self._config = config
        self._part = Part(type="videos", **config.model_dump(mode="json"))
        self._predictor = RecipePredictor(Recipe.load(config.recipe))
        self._facts = self._predictor.fingerprint()

    @property
    def by(self) -> str:
        """The recipe."""
        return self._config.recipe

    def find(self, source: str, where: Where) -> Source:
        """See `benchmarks.annotate.steps.ObjectSource`."""
        found = videos_in(Path(source))
        ids = [path.stem if path.is_file() else path.name for path in found]
        if len(set(ids)) < len(ids):  # a.mp4 beside a.mov
            ids = [path.name for path in found]
        items = [partial(self._item, id, path, where.most) for id, path in zip(ids, found, strict=True)]
        return Source(Path(source).resolve().name, self._config.licence, items, ids)

    def _item(self, id: str, path: Path, most: int, notes: Notes) -> Item:
        video = Video.open(path)
        if len(video) > most:
            video = video.pick(sorted(set(sample_indices(len(video), most))))
        content = [content_of(video), self._facts]
        found = notes.outcome("objects", self._part, self, content, lambda: _packed(self._things(video)))
        things = []
        for place, one in enumerate(found):
            codes = tuple(code and code.encode("ascii") for code in one["masks"])
            sayings = tuple(one["sayings"])
            things.append(Thing(place, one["name"], sayings, MaskTrack(place, video.size, codes)))
        return Item(id, lambda: video, tuple(things))

    def _things(self, video: Video) -> list[Thing]:
        model = self._predictor.load()
        context = model.encode(video)
        if not self._config.ask:
            (answer,) = model.ground(context, [Query(kind="describe")])
            return self._distinct(video, _named_by(answer))
        answers = model.ground(context, [Query(name, "refer") for name in self._config.ask])
        asked = zip(self._config.ask, answers, strict=True)
        return self._distinct(
            video, [Thing(0, name, track=track) for name, answer in asked for track in answer.tracks]
        )

    def _distinct(self, video: Video, things: Sequence[Thing]) -> list[Thing]:
        """Those that are large enough, each once: what is said of the same object comes together."""
        kept: list[Thing] = []
        smallest = self._config.least * video.size[0] * video.size[1]
        for thing in things:
            track = thing.track
            if track is None or max(track.areas().values(), default=0) <= smallest:
                continue
            for place, other in enumerate(kept):
                if other.track is not None and tube_iou(track, other.track) > self._config.same:
                    sayings = tuple(dict.fromkeys((*other.sayings, *thing.sayings)))
                    kept[place] = Thing(0, other.name or thing.name, sayings, other.track)
                    break
            else:
                kept.append(thing)
        return kept


def videos_in(path: Path) -> list[Path]:
    """A video itself, or the videos of a folder and its folders of frames, by name.

    Raises:
        DataError: there is none.
    """
    if path.is_file() or (path.is_dir() and _has_pictures(path)):
        return [path]
    found = sorted(
        inside
        for inside in (path.iterdir() if path.is_dir() else ())
        if (inside.is_file() and inside.suffix.lower() in SUFFIXES)
        or (inside.is_dir() and _has_pictures(inside))
    )
    if not found:
        raise DataError(
            f"{path} has no videos.",
            f"Put files there that end in {', '.join(SUFFIXES)}, or folders of frames.",
        )
    return found


def _has_pictures(folder: Path) -> bool:
    return any(path.suffix.lower() in PICTURES for path in folder.iterdir())


def _named_by(answer: GroundedText) -> list[Thing]:
    things = []
    for track in answer.tracks:
        phrases = [answer.phrase(span) for span in answer.spans if track.id in span.tracks]
        sayings = tuple(dict.fromkeys(phrase for phrase in phrases if phrase.strip()))
        things.append(Thing(0, "", sayings, track))
    return things


def _packed(things: Sequence[Thing]) -> list[dict[str, Any]]:
    return [
        {
            "name": thing.name,
            "sayings": list(thing.sayings),
            "masks": [code and code.decode("ascii") for code in thing.track.frames],
        }
        for thing in things
        if thing.track is not None
    ]
