"""From items to captions and questions with masks, one item at a time; what is done is never done again."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.annotate.items import Item, Source, Thing, View, content_of, digest
from benchmarks.annotate.layout import FRAMES, finish, placed, rles, write_frames
from benchmarks.annotate.steps import Checked, Kept, Notes, Triplet, build
from benchmarks.datasets.markup import Caption
from benchmarks.datasets.video_gcg import VideoGCG
from benchmarks.disk import replace_text
from benchmarks.lock import locked
from grounding_core.config import Part, validation_problems
from grounding_core.datasets import known_split
from grounding_core.errors import DataError, GroundingError, RecipeError, VideoError
from grounding_core.interfaces.dataset import Progress
from grounding_core.masks import MaskTrack
from grounding_core.video import Video

_log = logging.getLogger(__name__)


class AnnotateConfig(BaseModel):
    """How captions are made: the recipe of ``grounding annotate``. Each step names a component."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objects: Part | None = Field(
        default=None, description="Where objects come from; null: what SOURCE suggests."
    )
    masks: Part = Field(default=Part(type="box"), description="What makes masks of boxes.")
    describer: Part = Field(
        default=Part(type="class"), description="Who describes objects about which nothing is written."
    )
    composer: Part = Field(default=Part(type="list"), description="Who writes captions.")
    questions: Part = Field(
        default=Part(type="masks"),
        description="Who asks questions and answers them; `none` for captions alone.",
    )
    checker: Part = Field(default=Part(type="marks"), description="Who checks what is written.")
    tries: int = Field(default=3, ge=1, description="Answers of the composer before an item is set aside.")
    frames: int = Field(default=64, ge=1, description="Most frames of a video, spread evenly.")

    @classmethod
    def load(cls, path: Path) -> AnnotateConfig:
        """From a YAML file.

        Raises:
            DataError: it can't be read.
            RecipeError: it has problems, all of which are named.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise DataError(f"{path} can't be read: {error}.", "Name a YAML file.") from error
        try:
            return cls.model_validate(content or {})
        except ValidationError as error:
            raise RecipeError(str(path), validation_problems(error, "")) from error

    @property
    def facts(self) -> dict[str, Any]:
        """What shapes the outcome, for keys and the manifest."""
        facts = self.model_dump(mode="json", exclude_none=True)
        # Where an endpoint is and how it is treated does not change what it says.
        passing = {"base_url", "timeout", "pause", "price", "per_minute", "most_calls", "most_cost"}
        return {
            step: {key: value for key, value in part.items() if key not in passing}
            if isinstance(part, dict)
            else part
            for step, part in facts.items()
        }


def annotate(
    source: Source,
    config: AnnotateConfig,
    out: Path,
    *,
    split: str = "train",
    progress: Progress | None = None,
    elsewhere: Callable[[Sequence[str]], Iterable[None]] | None = None,
) -> dict[str, Any]:
    """Caption every video of a source, and ask questions about it.

    Each outcome is kept below ``<out>/annotate/`` as soon as it is there: a rerun redoes only items whose
    objects or settings changed, and asks nobody the same thing twice. A process that is killed loses at most
    the step in hand.

    Args:
        source: from `benchmarks.annotate.sources.find`.
        config: how.
        out: data root to write ``video_gcg/`` below, with ``annotate-<split>.json`` (manifest) and
            ``annotate-<split>.aside.jsonl`` (what could not be used, and why).
        split: name of the split written, one of those that ``video-gcg`` reads.
        progress: told as items are finished.
        elsewhere: makes the outcomes of items with these ids, in place of this process; yields after each.

    Returns:
        the manifest.

    Raises:
        GroundingError: a component can't be built, an endpoint does not answer, or the disk refuses.
    """
    known_split("video-gcg", VideoGCG, split)
    worker = Worker(source.name, config, out, split)
    with locked(out):
        made = worker.outcomes(source) if elsewhere is None else elsewhere(source.ids)
        for done, _ in enumerate(made, start=1):
            if progress is not None:
                progress(done, len(source.items))
        outcomes = [worker.path(id) for id in source.ids]
        facts = {"source": source.name, "licences": {source.name: source.licence}, "settings": config.facts}
        return finish(out, split, outcomes, facts)


class _Aside(GroundingError):
    """An item that can't be captioned; ``answers`` are those that were refused."""

    def __init__(self, problem: str, answers: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.answers = list(answers)


@dataclass(frozen=True)
class _Made:
    """What became of an item."""

    item: Item
    view: View
    caption: Caption
    left: Sequence[int]
    triplets: Sequence[Triplet]


class Worker:
    """Makes the outcome of one item after the other; any number may share an output folder.

    Args:
        source: its name.
        config: how.
        out: data root to write below.
        split: name of the split.
    """

    def __init__(self, source: str, config: AnnotateConfig, out: Path, split: str) -> None:
        self._source, self._config, self._out, self._split = source, config, out, split
        self._kept = Kept(out / "annotate" / "kept")
        self._masks = build("masks", config.masks)
        self._describer = build("describer", config.describer)
        self._composer = build("composer", config.composer)
        self._questions = build("questions", config.questions)
        self._checker = build("checker", config.checker)

    def path(self, id: str) -> Path:
        """The file that holds what became of an item."""
        return self._out / "annotate" / self._split / f"{_safe(id)}.json"

    def outcomes(self, source: Source) -> Iterator[None]:
        """Make the outcome of each item; yields after each."""
        for id, load in zip(source.ids, source.items, strict=True):
            self.outcome(id, load)
            yield

    def outcome(self, id: str, load: Callable[[Notes], Item]) -> None:
        """Make the file that holds what became of an item, if it is not there."""
        name, path = _safe(id), self.path(id)
        folder = self._out / FRAMES / self._split / name
        notes, key = Notes(self._kept), ""
        try:
            item, video = _thinned(_loaded(load, notes), self._config.frames)
            key = digest([id, self._source, item.content(), content_of(video), self._config.facts])
            if (done := _done(path, key)) is not None and (done["problem"] or folder.is_dir()):
                return
            made = self._make(item, video, notes)
            files = [f"{self._split}/{name}/{file}" for file in write_frames(video, folder)]
        except (_Aside, VideoError) as error:  # the item's own: the others can go on
            _log.info("%s is set aside: %s", id, error)
            answers = error.answers if isinstance(error, _Aside) else []
            content = {"problem": str(error), "answers": answers}
        else:
            content = {"problem": "", "source": self._source, "files": files, **_written(made)}
        told = {"item": id, "key": key, **content, "refused": notes.refused, "steps": notes.done}
        replace_text(path, json.dumps(told, ensure_ascii=False) + "\n")

    def _make(self, item: Item, video: Video, notes: Notes) -> _Made:
        if not item.things:
            raise _Aside("It has no objects.")
        view = View(video, self._tracks(item, video, notes))
        item = _seen(item, view.tracks)
        if not item.things:
            raise _Aside("None of its objects has a mask.")
        said = {id for group in item.together for id in group.things}
        wanted = [thing for thing in item.things if not thing.sayings and thing.id not in said]
        descriptions = {thing.id: self._describer.describe(thing, view, notes) for thing in wanted}
        caption, left = self._compose(item, descriptions, view, notes)
        triplets = self._questions.ask(item, caption, view, self._checker, notes)
        return _Made(item, view, caption, left, triplets)

    def _tracks(self, item: Item, video: Video, notes: Notes) -> dict[int, MaskTrack]:
        tracks = {thing.id: thing.track for thing in item.things if thing.track is not None}
        for id, track in tracks.items():
            if (track.size, len(track)) != (video.size, len(video)):
                raise _Aside(f"The masks of object {id} do not fit the video: {len(track)} of {track.size}.")
        boxed = [thing for thing in item.things if thing.track is None]
        if boxed:
            content = [content_of(video), [[sorted(thing.boxes.items()), thing.sparse] for thing in boxed]]
            found = notes.outcome(
                "masks",
                self._config.masks,
                self._masks,
                content,
                lambda: [_codes(track) for track in self._masks.tracks(video, boxed)],
            )
            for thing, codes in zip(boxed, found, strict=True):
                frames = tuple(code and code.encode("ascii") for code in codes)
                tracks[thing.id] = MaskTrack(thing.id, video.size, frames)
        return tracks

    def _compose(
        self, item: Item, descriptions: Mapping[int, str], view: View, notes: Notes
    ) -> tuple[Caption, tuple[int, ...]]:
        refused: list[tuple[str, Sequence[str]]] = []
        for _ in range(self._config.tries):
            answer = self._composer.compose(item, descriptions, refused, notes)
            checked: Checked = self._checker.check(answer, item, view)
            if checked.caption is not None and not checked.problems:
                return checked.caption, checked.left
            refused.append((answer, checked.problems))
        answers = [answer for answer, _ in refused]
        raise _Aside(f"After {len(answers)} answers: {' '.join(refused[-1][1])}", answers)


def _loaded(load: Callable[[Notes], Item], notes: Notes) -> Item:
    try:
        return load(notes)
    except DataError as error:  # its annotation is malformed
        raise _Aside(str(error)) from error


def _codes(track: MaskTrack) -> list[str | None]:
    return [None if code is None else code.decode("ascii") for code in track.frames]


def _written(made: _Made) -> dict[str, Any]:
    things = [
        {"id": thing.id, "name": thing.name, "masks": rles(made.view.tracks[thing.id])}
        for thing in made.item.things
    ]
    triplets = [{"form": one.form, "question": one.question, **placed(one.answer)} for one in made.triplets]
    size = list(made.view.video.size)
    return {
        "size": size,
        **placed(made.caption),
        "left_out": list(made.left),
        "things": things,
        "triplets": triplets,
    }


def _done(path: Path, key: str) -> dict[str, Any] | None:
    """What is kept of an item made with the same key."""
    if not path.is_file():
        return None
    made: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return made if made["key"] == key else None


def _thinned(item: Item, most: int) -> tuple[Item, Video]:
    """The item on at most so many frames, spread evenly."""
    video = item.open_video()
    if len(video) <= most:
        return item, video
    needed = {frame for thing in item.things if thing.sparse for frame in thing.boxes}
    even = {round(k * (len(video) - 1) / max(most - 1, 1)) for k in range(most)}
    frames = sorted(needed | even)
    places = {frame: place for place, frame in enumerate(frames)}

    def thin(thing: Thing) -> Thing:
        track = thing.track
        if track is not None and len(track) == len(video):
            track = replace(track, frames=tuple(track.frames[frame] for frame in frames))
        boxes = {places[frame]: box for frame, box in thing.boxes.items() if frame in places}
        return replace(thing, track=track, boxes=boxes)

    return replace(item, things=tuple(thin(thing) for thing in item.things)), video.pick(frames)


def _seen(item: Item, tracks: Mapping[int, MaskTrack]) -> Item:
    """The item with the objects that have a mask somewhere."""
    things = tuple(thing for thing in item.things if tracks[thing.id].visible())
    kept = {thing.id for thing in things}
    together = tuple(group for group in item.together if kept.issuperset(group.things))
    return replace(item, things=things, together=together, draft=item.draft and _without(item.draft, kept))


def _without(draft: Caption, kept: Iterable[int]) -> Caption | None:
    """A draft whose phrases point at nothing but objects that are seen; None if none is left."""
    spans = [replace(s, tracks=tuple(id for id in s.tracks if id in set(kept))) for s in draft.spans]
    left = tuple(span for span in spans if span.tracks)
    return Caption(draft.text, left) if left else None


def _safe(id: str) -> str:
    """A file name for an item; one that had to be changed is told apart by a hash."""
    name = re.sub(r"[^\w-]", "_", id)
    return name if name == id else f"{name}-{digest(id)[:6]}"
