"""From items to captions with masks, one item at a time; what is done is never done again."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.annotate import writing
from benchmarks.annotate.items import Item, Source, Thing, digest
from benchmarks.annotate.layout import FRAMES, finish, rles, words, write_frames
from benchmarks.annotate.speakers import Message, Replies, Reply, SpeakerOptions, speaker
from benchmarks.datasets.box_masks import Masker, masker
from benchmarks.datasets.markup import Caption
from benchmarks.datasets.video_gcg import VideoGCG
from benchmarks.disk import replace_text
from benchmarks.lock import locked
from grounding_core.config import validation_problems
from grounding_core.datasets import known_split
from grounding_core.errors import DataError, GroundingError, RecipeError, VideoError
from grounding_core.interfaces.dataset import Progress
from grounding_core.masks import MaskTrack, encode
from grounding_core.video import Video

_log = logging.getLogger(__name__)


class AnnotateConfig(BaseModel):
    """How captions are made: the recipe of ``grounding annotate``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    masks: str = Field(
        default="box",
        description="What makes masks of boxes: a recipe, a mask decoder as `data prepare --decoder` takes "
        "it, or `box` for the boxes themselves.",
    )
    describer: SpeakerOptions | None = Field(
        default=None,
        description="Who describes objects about which nothing is written; null: their class does.",
    )
    composer: SpeakerOptions | None = Field(
        default=None, description="Who writes captions; null: a sentence that lists the objects."
    )
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
        return {**self.model_dump(mode="json"), "prompts": writing.VERSION}


@dataclass
class _Steps:
    """How one item came about."""

    done: list[dict[str, Any]] = field(default_factory=list)

    def add(self, step: str, made_by: str, seconds: float, reply: Reply | None = None) -> None:
        asked = {} if reply is None else {"reply": reply.key, **vars(reply.usage)}
        self.done.append({"step": step, "by": made_by, "seconds": round(seconds, 3), **asked})


def annotate(
    source: Source,
    config: AnnotateConfig,
    out: Path,
    *,
    split: str = "train",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Caption every video of a source.

    Each outcome is kept below ``<out>/annotate/`` as soon as it is there: a rerun redoes only items whose
    objects or settings changed, and asks nobody the same thing twice.

    Args:
        source: from :func:`benchmarks.annotate.sources.find`.
        config: how.
        out: data root to write ``video_gcg/`` below, with ``annotate-<split>.json`` (manifest) and
            ``annotate-<split>.aside.jsonl`` (items that could not be captioned, and why).
        split: name of the split written, one of those that ``video-gcg`` reads.
        progress: told as items are finished.

    Returns:
        the manifest.

    Raises:
        GroundingError: a component can't be built, an endpoint does not answer, or the disk refuses.
    """
    known_split("video-gcg", VideoGCG, split)
    work = _Work(source, config, out, split)
    outcomes: list[Path] = []
    with locked(out):
        for done, (id, load) in enumerate(zip(source.ids, source.items, strict=True), start=1):
            outcomes.append(work.outcome(id, load))
            if progress is not None:
                progress(done, len(source.items))
        facts = {"source": source.name, "licence": source.licence, "settings": config.facts}
        manifest = finish(out, split, outcomes, facts)
    return manifest


class _Aside(GroundingError):
    """An item that can't be captioned; ``answers`` are those that were refused."""

    def __init__(self, problem: str, answers: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.answers = list(answers)


class _Work:
    """Makes the outcome of one item after the other."""

    def __init__(self, source: Source, config: AnnotateConfig, out: Path, split: str) -> None:
        self._source, self._config, self._out, self._split = source, config, out, split
        self._replies = Replies(out / "annotate" / "replies.jsonl")
        self._describer = None if config.describer is None else speaker(config.describer)
        self._composer = None if config.composer is None else speaker(config.composer)
        self._masker: Masker | None = None

    def outcome(self, id: str, load: Any) -> Path:
        """The file that holds what became of an item."""
        name = _safe(id)
        path = self._out / "annotate" / self._split / f"{name}.json"
        try:
            item: Item = load()
        except GroundingError as error:
            _write(path, _refused(id, "", str(error), [], []))
            return path
        key = item.key({**self._config.facts, "source": self._source.name})
        folder = self._out / FRAMES / self._split / name
        if path.is_file():
            made = json.loads(path.read_text(encoding="utf-8"))
            if made["key"] == key and (made["problem"] or folder.is_dir()):
                return path
        steps = _Steps()
        try:
            made = self._make(item, folder, steps)
        except _Aside as error:
            _log.info("%s is set aside: %s", id, error.problem)
            _write(path, _refused(id, key, error.problem, error.answers, steps.done))
        else:
            files = [f"{self._split}/{name}/{file}" for file in made.pop("names")]
            kept = {"item": id, "key": key, "problem": "", "source": self._source.name}
            _write(path, {**kept, **made, "files": files, "steps": steps.done})
        return path

    def _make(self, item: Item, folder: Path, steps: _Steps) -> dict[str, Any]:
        if not item.things:
            raise _Aside("It has no objects.")
        try:
            item, video = _thinned(item, self._config.frames)
            tracks = self._tracks(item, video, steps)
            item = _seen(item, tracks)
            if not item.things:
                raise _Aside("None of its objects has a mask.")
            descriptions = self._describe(item, tracks, video, steps)
            names = write_frames(video, folder)
        except VideoError as error:  # the item's own: the others can go on
            raise _Aside(str(error)) from error
        caption, left = self._compose(item, descriptions, steps)
        text, places, objects = words(caption)
        return {
            "names": names,
            "size": list(video.size),
            "caption": text,
            "places": places,
            "objects": objects,
            "left_out": list(left),
            "things": [
                {"id": thing.id, "name": thing.name, "masks": rles(tracks[thing.id])} for thing in item.things
            ],
        }

    def _tracks(self, item: Item, video: Video, steps: _Steps) -> dict[int, MaskTrack]:
        tracks = {thing.id: thing.track for thing in item.things if thing.track is not None}
        for id, track in tracks.items():
            if (track.size, len(track)) != (video.size, len(video)):
                raise _Aside(f"The masks of object {id} do not fit the video: {len(track)} of {track.size}.")
        boxed = [thing for thing in item.things if thing.track is None]
        if boxed:
            begun = time.monotonic()
            self._masker = self._masker or masker(self._config.masks)
            found: list[list[bytes | None]] = [[] for _ in boxed]
            for masks in self._masker(video, [thing.boxes for thing in boxed]):
                for kept, mask in zip(found, masks, strict=True):
                    kept.append(encode(mask))
            for thing, kept in zip(boxed, found, strict=True):
                tracks[thing.id] = MaskTrack(thing.id, video.size, tuple(kept))
            steps.add("masks", self._config.masks, time.monotonic() - begun)
        return tracks

    def _describe(
        self, item: Item, tracks: Mapping[int, MaskTrack], video: Video, steps: _Steps
    ) -> dict[int, str]:
        said = {group for together in item.together for group in together.things}
        described = {}
        for thing in item.things:
            if self._describer is None or thing.sayings or thing.id in said:
                continue
            messages = writing.describe(thing, tracks[thing.id], video, pictures=self._describer.pictures)
            reply = self._replies.ask(self._describer, messages)
            steps.add("describe", reply.model, reply.seconds, reply)
            described[thing.id] = " ".join(reply.text.split())
        return described

    def _compose(
        self, item: Item, descriptions: Mapping[int, str], steps: _Steps
    ) -> tuple[Caption, tuple[int, ...]]:
        if self._composer is None:
            answer = writing.plain(item, descriptions)
            caption, left, problems = writing.check(answer, item)
            steps.add("compose", "list", 0.0)
            if caption is None or problems:
                raise _Aside(" ".join(problems), [answer])
            return caption, left
        messages: Sequence[Message] = writing.compose(item, descriptions)
        answers = []
        for _ in range(self._config.tries):
            reply = self._replies.ask(self._composer, messages)
            steps.add("compose", reply.model, reply.seconds, reply)
            answers.append(reply.text)
            caption, left, problems = writing.check(reply.text, item)
            if caption is not None and not problems:
                return caption, left
            messages = writing.again(messages, reply.text, problems)
        raise _Aside(f"After {self._config.tries} answers: {' '.join(problems)}", answers)


def _thinned(item: Item, most: int) -> tuple[Item, Video]:
    """The item on at most so many frames, spread evenly."""
    video = item.open_video()
    if len(video) <= most:
        return item, video
    frames = sorted({round(k * (len(video) - 1) / max(most - 1, 1)) for k in range(most)})
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
    return replace(item, things=things, together=together)


def _refused(
    id: str, key: str, problem: str, answers: Sequence[str], steps: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {"item": id, "key": key, "problem": problem, "answers": list(answers), "steps": list(steps)}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    replace_text(path, json.dumps(content, ensure_ascii=False) + "\n")


def _safe(id: str) -> str:
    """A file name for an item; one that had to be changed is told apart by a hash."""
    name = re.sub(r"[^\w-]", "_", id)
    return name if name == id else f"{name}-{digest(id)[:6]}"
