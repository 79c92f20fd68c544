"""Boxes to masks: through any mask decoder that takes boxes, or by filling them.

Gives what VideoGLaMM's ``dev_vidstg_gcg_mask_gen.py`` and ``dev_hcstvg_2_mask_gen.py`` give with SAM 2.1:
frames and masks as PNG files, one folder a video.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image
from pydantic import ValidationError

from benchmarks.datasets.files import read_json
from benchmarks.disk import replace_text
from benchmarks.lock import locked
from grounding_core.config import ROLES, Part, Recipe, validation_problems
from grounding_core.device import place
from grounding_core.errors import DataError, GroundingError, RecipeError
from grounding_core.interfaces.dataset import Box, Progress
from grounding_core.plugins import registry
from grounding_core.video import Video

Masks = npt.NDArray[np.bool_]
FILL = "box"
"""The decoder's name that stands for none: the box itself is the mask."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One video to be made.

    Attributes:
        video: its file.
        frames: of the file, those to keep.
        names: what each is called, without suffix.
        boxes: object id -> place in ``frames`` -> box.
    """

    video: Path
    frames: Sequence[int]
    names: Sequence[str]
    boxes: Mapping[int, Mapping[int, Box]]


class Masker(Protocol):
    """Masks bool (k, H, W) of each frame of a video in order, given each object's boxes by frame."""

    def __call__(self, video: Video, boxes: Sequence[Mapping[int, Box]]) -> Iterator[Masks]: ...


def masker(decoder: str | None) -> Masker:
    """The masker a user means.

    Args:
        decoder: a recipe (its mask decoder, with its weights), a mask decoder as a recipe has it
            (``{type: sam2, weights: ..., mode: framewise}``), or ``box``.

    Raises:
        DataError: it is not named, or does not take boxes.
        RecipeError: its options are wrong.
    """
    if decoder is None:
        raise DataError(
            "Masks are made of boxes by a mask decoder, and none is named.",
            "Name one with --decoder: a recipe, '{type: sam2, weights: ..., mode: framewise}', "
            f"or {FILL} for the boxes themselves.",
        )
    return fill if decoder == FILL else _decoder(decoder)


def fill(video: Video, boxes: Sequence[Mapping[int, Box]]) -> Iterator[Masks]:
    """Every pixel of a box whose centre lies in it."""
    height, width = video.size
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width)[None] + 0.5
    for frame in range(len(video)):
        masks = np.zeros((len(boxes), height, width), dtype=bool)
        for mask, track in zip(masks, boxes, strict=True):
            if frame in track:
                x0, y0, x1, y1 = track[frame]
                mask[:] = (rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)
        yield masks


def make(
    folder: Path,
    jobs: Mapping[str, Callable[[], Job]],
    decoder: str | None,
    progress: Progress | None,
) -> None:
    """Write ``<folder>/<video>/{frames,masks/<id:03d>}/<name>.png`` for each job that is not there yet.

    A video is there whole or not at all, so an interrupted run goes on. What made the masks is kept in
    ``<folder>/decoder.json``.

    Args:
        folder: of the split.
        jobs: video -> what to make; may raise GroundingError, which leaves that video out.
        decoder: see `masker`.
        progress: told as videos are finished.

    Raises:
        GroundingError: another process is at it.
        DataError: the folder was begun with another decoder; or, once all others are made, some videos
            could not be made.
    """
    record = folder / "decoder.json"
    if decoder is not None and record.is_file():
        _check_begun(record, decoder)
    convert = masker(decoder)
    faults: list[str] = []
    with locked(folder):
        replace_text(record, json.dumps({"decoder": decoder}) + "\n")
        for done, (name, job) in enumerate(jobs.items(), start=1):
            if not (folder / name).is_dir():
                try:
                    _make(folder / name, job(), convert)
                except GroundingError as error:
                    faults.append(f"{name}: {error}")
            if progress is not None:
                progress(done, len(jobs))
    for fault in faults:
        _log.warning(fault)
    if faults:
        raise DataError(
            f"{len(faults)} of {len(jobs)} videos of {folder} could not be made. The first: {faults[0]}",
            "Put right what is named and run the same command again: it makes what is missing.",
        )


def _make(target: Path, job: Job, convert: Masker) -> None:
    whole = Video.open(job.video)
    video = whole.pick([min(frame, len(whole) - 1) for frame in job.frames])
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
        masks = convert(video, list(job.boxes.values()))
        for (place, frame), found in zip(video.stream(), masks, strict=True):
            _save(partial / "frames" / f"{job.names[place]}.png", frame)
            for id, mask in zip(job.boxes, found, strict=True):
                _save(partial / f"masks/{id:03d}" / f"{job.names[place]}.png", mask.astype(np.uint8) * 255)
        os.replace(partial, target)
    except OSError as error:
        raise DataError(f"Can't write {target}: {error.strerror or error}.", "Free some space.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _save(path: Path, image: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def _check_begun(record: Path, decoder: str) -> None:
    """Keep masks of two decoders apart."""
    begun = read_json(record, "`grounding data prepare`").get("decoder")
    if begun != decoder:
        raise DataError(
            f"{record.parent} was begun with the decoder {begun!r}, not {decoder!r}.",
            f"Go on with --decoder {begun}, or delete {record.parent}.",
        )


def load_decoder(text: str) -> Any:
    """The mask decoder that a user names, ready to track, on the GPU if there is one.

    Args:
        text: as for `masker`, without ``box``.

    Raises:
        GroundingError: there is none, its options are wrong, or its weights do not fit.
    """
    part, checkpoint = _part(text)
    network = _load(part, checkpoint).eval()
    place(network, None)
    return network


def _decoder(text: str) -> Masker:
    import torch

    from grounding_core.interfaces.box_prompts import BoxPrompts

    network = load_decoder(text)
    if not issubclass(type(network), BoxPrompts):
        raise DataError(
            f"The mask decoder {type(network).__name__} takes no boxes.",
            "Use one that does, such as sam2: it has a method track_boxes.",
        )
    prompted: BoxPrompts = network

    def convert(video: Video, boxes: Sequence[Mapping[int, Box]]) -> Iterator[Masks]:
        frames = prompted.track_boxes(network.open(video), boxes)
        while True:
            with torch.inference_mode():
                logits = next(frames, None)
            if logits is None:
                return
            yield (logits > 0).cpu().numpy()

    return convert


def _part(text: str) -> tuple[Part, str | None]:
    """The mask decoder and its checkpoint of a recipe, or a part written in line."""
    if not text.lstrip().startswith("{"):
        recipe = Recipe.load(text)
        if recipe.mask_decoder is None:
            raise DataError(f"The recipe {text!r} has no mask decoder.", "Use one that has.")
        return recipe.mask_decoder, recipe.checkpoint
    try:
        return Part.model_validate(yaml.safe_load(text)), None
    except yaml.YAMLError as error:
        raise DataError(
            f"--decoder {text} is not valid YAML: {error}.", "Write {type: NAME, ...}."
        ) from error
    except ValidationError as error:
        raise RecipeError("--decoder", validation_problems(error, "mask_decoder")) from error


def _load(part: Part, checkpoint: str | None) -> Any:
    from torch import nn

    from grounding_core.checkpoint import load_weights

    component = registry().load("mask_decoder", part.type)
    try:
        config = component.Config.model_validate(part.options)
    except ValidationError as error:
        raise RecipeError("--decoder", validation_problems(error, "mask_decoder")) from error
    network = component(config)
    if checkpoint is not None:
        holder = nn.ModuleDict({"mask_decoder": network})
        load_weights(holder, checkpoint, absent=set(ROLES) - {"mask_decoder"})
    return network
