"""Mask makers: boxes filled, through a mask decoder, tracked from the best box, or by colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from benchmarks.annotate.items import Thing
from benchmarks.annotate.steps import Step
from benchmarks.datasets.box_masks import Masker, fill, load_decoder, masker
from grounding_core.config import Part
from grounding_core.errors import DataError, QueryError
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.dataset import Box
from grounding_core.interfaces.spatial_prompts import Propagation, SpatialPrompts
from grounding_core.masks import MaskTrack, encode
from grounding_core.video import Video


class Filled(Step):
    """The boxes themselves; a box stands still where a track is asked for from one frame."""

    def tracks(self, video: Video, things: Sequence[Thing]) -> list[MaskTrack]:
        """See `benchmarks.annotate.steps.MaskMaker`."""
        return through(fill, video, things)

    def redraw(self, video: Video, frame: int, prompts: SpatialPrompts) -> MaskTrack:
        """The box, in its frame alone."""
        if prompts.boxes is None:
            raise QueryError("Filled boxes need a box.", "Draw one, or name another mask maker.")
        x0, y0, x1, y1 = (float(side) for side in prompts.boxes[0])
        return self.tracks(video, [Thing(0, boxes={frame: (x0, y0, x1, y1)})])[0]


class DecoderConfig(ComponentConfig):
    """Which decoder."""

    decoder: Part | str = Field(
        description="A mask decoder with its options, as in a recipe; or a recipe: its decoder and weights."
    )

    @property
    def named(self) -> str:
        """As ``data prepare --decoder`` takes it."""
        return (
            self.decoder if isinstance(self.decoder, str) else self.decoder.model_dump_json(exclude_none=True)
        )


class Decoder(Step):
    """A mask decoder that takes boxes, given the box of each frame."""

    Config = DecoderConfig

    def __init__(self, config: DecoderConfig) -> None:
        self._config = config
        self._masker: Masker | None = None
        self._tracker: Tracker | None = None

    @property
    def by(self) -> str:
        """The decoder as it is named."""
        return self._config.named

    def tracks(self, video: Video, things: Sequence[Thing]) -> list[MaskTrack]:
        """See `benchmarks.annotate.steps.MaskMaker`."""
        self._masker = self._masker or masker(self._config.named)
        return through(self._masker, video, things)

    def redraw(self, video: Video, frame: int, prompts: SpatialPrompts) -> MaskTrack:
        """By the same decoder, tracked both ways, if it can."""
        self._tracker = self._tracker or Tracker(self._config)
        return self._tracker.redraw(video, frame, prompts)


class Tracker(Step):
    """A mask decoder that is pointed at each object by its largest box and follows it both ways in time.

    Where the boxes say when an object is seen, its masks elsewhere are left out.
    """

    Config = DecoderConfig

    def __init__(self, config: DecoderConfig) -> None:
        self._config = config
        self._network: Any = None

    @property
    def by(self) -> str:
        """The decoder as it is named."""
        return self._config.named

    def tracks(self, video: Video, things: Sequence[Thing]) -> list[MaskTrack]:
        """See `benchmarks.annotate.steps.MaskMaker`."""
        network = self._load()
        scene, found = network.open(video), {}
        groups: dict[int, list[Thing]] = {}
        for thing in things:
            if thing.boxes:
                groups.setdefault(_largest(thing.boxes), []).append(thing)
        for frame, members in groups.items():
            boxes = np.array([thing.boxes[frame] for thing in members], dtype=np.float64)
            masks = self._follow(scene, len(video), frame, SpatialPrompts(boxes=boxes))
            for thing, own in zip(members, masks, strict=True):
                shown = own if thing.sparse else [c if i in thing.boxes else None for i, c in enumerate(own)]
                found[thing.id] = MaskTrack(thing.id, video.size, tuple(shown))
        empty = (None,) * len(video)
        return [found.get(thing.id) or MaskTrack(thing.id, video.size, empty) for thing in things]

    def redraw(self, video: Video, frame: int, prompts: SpatialPrompts) -> MaskTrack:
        """See `benchmarks.annotate.steps.MaskMaker`."""
        scene = self._load().open(video)
        (masks,) = self._follow(scene, len(video), frame, prompts)
        return MaskTrack(0, video.size, tuple(masks))

    def _load(self) -> Any:
        if self._network is None:
            network = load_decoder(self._config.named)
            if not isinstance(network, Propagation):
                raise DataError(
                    f"{self._config.named} can't be pointed at an object in one frame.",
                    "Use a decoder that can: sam2, edgetam or sam3.",
                )
            self._network = network
        return self._network

    def _follow(
        self, scene: Any, frames: int, start: int, prompts: SpatialPrompts
    ) -> list[list[bytes | None]]:
        import torch

        rows: list[list[bytes | None]] = [[None] * frames for _ in range(len(prompts))]
        with torch.inference_mode():
            for frame, logits in self._network.propagate(scene, prompts, start):
                for row, mask in zip(rows, (logits > 0).cpu().numpy(), strict=True):
                    row[frame] = encode(mask)
        return rows


def through(convert: Masker, video: Video, things: Sequence[Thing]) -> list[MaskTrack]:
    """Tracks by a masker, which gives frame after frame."""
    rows: list[list[bytes | None]] = [[] for _ in things]
    for masks in convert(video, [thing.boxes for thing in things]):
        for row, mask in zip(rows, masks, strict=True):
            row.append(encode(mask))
    return [MaskTrack(thing.id, video.size, tuple(row)) for thing, row in zip(things, rows, strict=True)]


def _largest(boxes: Mapping[int, Box]) -> int:
    return max(
        boxes, key=lambda frame: (boxes[frame][2] - boxes[frame][0]) * (boxes[frame][3] - boxes[frame][1])
    )
