"""Whole models that find what a text names in some frames and track it through all."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, ValidationError, field_validator
from torch import Tensor, nn

from grounding_core.checkpoint import digest
from grounding_core.config import Part, validation_problems
from grounding_core.interfaces.component import ComponentConfig, Configured
from grounding_core.interfaces.mask_decoder import MaskDecoder
from grounding_core.interfaces.spatial_prompts import Propagation, SpatialPrompts
from grounding_core.masks import MaskTrack, encode
from grounding_core.plugins import registry
from grounding_core.types import GroundedText, Query, Span
from grounding_core.video import Video, sample_indices

NOTHING = "Nothing was found."


@dataclass(frozen=True)
class Found:
    """What a text names in one frame: n objects.

    Attributes:
        scores: (n,) from 0 to 1.
        spans: which characters of the text each object is.
        prompts: what points at them; None if there are none.
    """

    scores: npt.NDArray[np.floating[Any]]
    spans: Sequence[tuple[int, int]]
    prompts: SpatialPrompts | None


class Finder(nn.Module):
    """Finds objects in frames by text."""

    @abstractmethod
    def look(self, frames: Tensor) -> Any:
        """What all texts about uint8 frames (t, H, W, 3) share."""

    @abstractmethod
    def find(self, seen: Any, text: str, size: tuple[int, int]) -> list[Found]:
        """What a text names, frame by frame; boxes in pixels of frames of ``size`` (H, W)."""


class FindingConfig(ComponentConfig):
    """What finds, what tracks, and where to look."""

    weights: str = Field(description="Hub id or folder of what finds objects by text.")
    tracker: Part = Field(
        description="Mask decoder that tracks what was found: its `type` and options, as in a recipe."
    )
    frames: int = Field(
        default=4,
        ge=1,
        description="Frames, spread evenly, in which objects are looked for; the best one counts.",
    )
    threshold: float = Field(default=0.35, ge=0, lt=1, description="Lowest score of an object.")
    vocabulary: tuple[str, ...] = Field(
        default=("person", "animal", "vehicle"),
        min_length=1,
        description="What to look for when asked to describe.",
    )

    @field_validator("tracker")
    @classmethod
    def _can_track(cls, part: Part) -> Part:
        component = registry().load("mask_decoder", part.type)
        if not hasattr(component, "propagate"):
            raise ValueError(
                f"{part.type} can't be pointed at objects in one frame; use sam2, edgetam or sam3"
            )
        try:
            component.Config.model_validate(part.options)
        except ValidationError as error:
            problems = [f"{path} {message}" for path, message in validation_problems(error, part.type)]
            raise ValueError("; ".join(problems)) from error
        return part


@dataclass(frozen=True)
class Looked:
    """A video that has been looked at.

    Attributes:
        video: all of it.
        frames: indices of the frames in which objects are looked for.
        seen: what the finder made of them.
        scene: the tracker's.
    """

    video: Video
    frames: Sequence[int]
    seen: Any
    scene: Any


class FindThenTrack(nn.Module, Configured):
    """A `grounding_core.interfaces.grounder.Grounder` of a finder and a tracker.

    Of the frames looked at, the one with the highest score decides: its objects are tracked both ways. An
    expression (``refer``) means all of them together; a question or statement is given back with the words
    that were found; a description lists what was found of the vocabulary.
    """

    def __init__(self, config: FindingConfig, finder: Finder) -> None:
        super().__init__()
        self.config = config
        self.finder = finder
        component = registry().load("mask_decoder", config.tracker.type)
        self.tracker: MaskDecoder = component(component.Config.model_validate(config.tracker.options))
        self.eval()

    @torch.inference_mode()
    def encode(self, video: Video | str | Path) -> Looked:
        """Read a video once; all its questions share the result.

        Raises:
            VideoError: it can't be read.
        """
        video = Video.open(video)
        frames = sorted(set(sample_indices(len(video), self.config.frames)))
        seen = self.finder.look(torch.from_numpy(video.frames(frames)))
        return Looked(video, frames, seen, self.tracker.open(video))

    @torch.inference_mode()
    def ground(self, context: Looked, queries: Sequence[Query]) -> list[GroundedText]:
        """Answers in the order of the questions."""
        return [self._answer(context, query) for query in queries]

    def _answer(self, context: Looked, query: Query) -> GroundedText:
        if query.kind != "describe":
            tracks, spans = self._tracks(context, query.text, first=0)
            if query.kind == "refer":
                ids = tuple(track.id for track in tracks)
                return GroundedText(
                    query.text, (Span(0, len(query.text), ids),) if ids else (), tuple(tracks)
                )
            return GroundedText(query.text, tuple(spans), tuple(tracks))
        text, found, tracks = "", [], []
        for word in self.config.vocabulary:
            own, _ = self._tracks(context, word, first=len(tracks))
            if own:
                text += f", {word}" if text else word
                found.append(Span(len(text) - len(word), len(text), tuple(track.id for track in own)))
                tracks += own
        return GroundedText(text or NOTHING, tuple(found), tuple(tracks))

    def _tracks(self, context: Looked, text: str, *, first: int) -> tuple[list[MaskTrack], list[Span]]:
        """Tracks of what a text names, numbered from ``first``, and the words that name them."""
        size = context.video.size
        found = self.finder.find(context.seen, text, size)
        best = max(range(len(found)), key=lambda i: max(found[i].scores, default=0.0))
        prompts, spans = found[best].prompts, found[best].spans
        if prompts is None:
            return [], []
        rows: list[list[bytes | None]] = [[None] * len(context.video) for _ in range(len(prompts))]
        tracker = self.tracker
        assert isinstance(tracker, Propagation)  # the configuration has checked
        for frame, logits in tracker.propagate(context.scene, prompts, context.frames[best]):
            for row, mask in zip(rows, (logits > 0).cpu().numpy(), strict=True):
                row[frame] = encode(mask)
        tracks = [MaskTrack(id=first + i, size=size, frames=tuple(row)) for i, row in enumerate(rows)]
        named = {span: tuple(first + i for i, own in enumerate(spans) if own == span) for span in spans}
        return tracks, [Span(*span, named[span]) for span in sorted(named)]

    def fingerprint(self) -> dict[str, str]:
        """What must be equal for two runs to give the same predictions."""
        facts = {"model": type(self).__name__, "options": self.config.model_dump_json()}
        for part, source in (
            ("finder", self.config.weights),
            ("tracker", self.config.tracker.options.get("weights")),
        ):
            if source is not None and Path(source).is_dir():
                facts[part] = digest(source)
        return facts | {package: version(package) for package in ("grounding-sam", "torch", "transformers")}
