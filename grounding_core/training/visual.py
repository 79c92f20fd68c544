"""Visual tokens that are made once a stage, where encoders and adapters are frozen."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from grounding_core.errors import DataError, GroundingError
from grounding_core.interfaces.dataset import Sample
from grounding_core.model import GroundingModel
from grounding_core.training.config import TrainConfig
from grounding_core.video import sample_indices

FOLDER = "visual"
ROLES = ("image_encoder", "video_encoder", "image_adapter", "video_adapter")


class VisualTokens:
    """One file a video: its tokens (m, dl), float16.

    The files of another run's videos or weights, that was stopped in this folder, are left alone, unused.
    """

    def __init__(self, folder: Path, groups: Sequence[Sequence[Sample]], made_by: str) -> None:
        """Args:
        folder: of the files.
        groups: the samples of each video.
        made_by: what else the tokens depend on.
        """
        self.folder = folder
        names = [f"{made_by}\n{group[0].id}\n{group[0].video_id}" for group in groups]
        self.names = [hashlib.sha256(name.encode()).hexdigest()[:24] for name in names]

    def has(self, index: int) -> bool:
        """Whether a video's file is there."""
        return self._path(index).is_file()

    def save(self, index: int, tokens: Tensor) -> None:
        """Write a video's file; it is whole or not there."""
        partial = self.folder / f".{self.names[index]}.npy"
        np.save(partial, tokens.detach().to("cpu", torch.float16).numpy())
        os.replace(partial, self._path(index))

    def load(self, index: int) -> Tensor:
        """A video's tokens as float32.

        Raises:
            DataError: the video could not be read.
        """
        if not self.has(index):
            raise DataError("the video could not be read when the stage began", "Repair or leave it out.")
        return torch.from_numpy(np.load(self._path(index), allow_pickle=False)).float()

    def remove(self) -> None:
        """Delete all files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"{self.names[index]}.npy"


class Clips(TorchDataset[tuple[int, bool, Tensor | str]]):
    """What the encoders see of some videos, and whether each is a single image.

    One that can't be read is a line that says why.
    """

    def __init__(self, groups: Sequence[Sequence[Sample]], wanted: Sequence[int], frames: int) -> None:
        self.groups, self.wanted, self.frames = groups, wanted, frames

    def __len__(self) -> int:
        return len(self.wanted)

    def __getitem__(self, place: int) -> tuple[int, bool, Tensor | str]:
        index = self.wanted[place]
        try:
            video = self.groups[index][0].open_video()
            frames = torch.from_numpy(video.frames(sample_indices(len(video), self.frames)))
            return index, len(video) == 1, frames
        except GroundingError as error:
            return index, False, str(error)


def keep_visual_tokens(
    model: GroundingModel,
    groups: Sequence[Sequence[Sample]],
    config: TrainConfig,
    initial: str | None,
    out: Path,
    accelerator: Accelerator,
    console: Console,
) -> VisualTokens:
    """Encode the videos whose files are missing below ``out``, each process its share.

    Raises:
        GroundingError: an encoder or an adapter is trained.
    """
    parts = {role: part for role in ROLES if (part := getattr(model, role)) is not None}
    trained = [role for role, part in parts.items() if any(p.requires_grad for p in part.parameters())]
    if trained:
        raise GroundingError(
            f"training.keep_visual: {', '.join(trained)} would be trained, so visual tokens change.",
            "Add them to training.freeze, or leave keep_visual out.",
        )
    made_by = f"{initial} {config.seed} {model.plan.recipe.fingerprint()}"
    kept = VisualTokens(out / FOLDER, groups, made_by)
    kept.folder.mkdir(parents=True, exist_ok=True)
    share = range(accelerator.process_index, len(groups), accelerator.num_processes)
    wanted = [index for index in share if not kept.has(index)]
    loader = DataLoader(
        Clips(groups, wanted, model.sampling.frames),
        batch_size=config.videos,
        collate_fn=list,
        num_workers=config.workers,
    )
    model.eval()
    for part in parts.values():
        part.to(accelerator.device)
    for batch in track(loader, "visual tokens", console=console, disable=not accelerator.is_main_process):
        for kind in (False, True):
            clips = {i: clip for i, still, clip in batch if still == kind and isinstance(clip, Tensor)}
            if clips:
                moved = [clip.to(accelerator.device) for clip in clips.values()]
                with torch.no_grad(), accelerator.autocast():
                    tokens = model.visual_tokens(moved, single_image=kind)
                for index, own in zip(clips, tokens, strict=True):
                    kept.save(index, own)
    accelerator.wait_for_everyone()
    return kept
