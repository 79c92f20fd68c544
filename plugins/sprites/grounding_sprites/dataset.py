"""The data set ``sprites``: writes a split below a data root, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import GeneratedDataset, Progress, Reading, TaskName

from grounding_sprites.layouts import Writer, pieces
from grounding_sprites.story import SPLIT_SEEDS, tell

_ABANDONED_SECONDS = 300.0


class Sprites(GeneratedDataset):
    """Short videos of named, coloured sprites that move, with exact masks, boxes, expressions and captions.

    Written in the layouts of MeViS (refseg), VidSTG (grounding) and the video GCG set (gcg).
    """

    readings: ClassVar[Mapping[TaskName, Reading]] = {
        "refseg": Reading("mevis"),
        "grounding": Reading("vidstg"),
        "gcg": Reading("video-gcg"),
    }
    splits: ClassVar[Mapping[str, int]] = {"train": 6000, "val": 60, "test": 60}
    default_split: ClassVar[str] = "test"
    licence: ClassVar[str] = (
        "CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/). Sprites: OpenMoji, the open-source "
        "emoji and icon project (https://openmoji.org), recoloured. Made locally by grounding-sprites."
    )
    version: ClassVar[str] = "4"

    def prepare(
        self,
        out: Path,
        *,
        split: str,
        seed: int | None = None,
        videos: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write a split below ``out``: first beside it, then renamed into place, its manifest last.

        A split that is there with the same settings is left as it is.

        Raises:
            DataError: unknown split, no videos asked for, other data at the place, or a disk that refuses.
        """
        out = Path(out)
        if split not in self.splits:
            raise DataError(f"sprites has no split {split!r}.", f"Use one of {', '.join(self.splits)}.")
        count = self.splits[split] if videos is None else videos
        if count < 1:
            raise DataError(f"{count} videos were asked for.", "Ask for at least 1.")
        chosen = SPLIT_SEEDS[split] if seed is None else seed
        if chosen < 0:
            raise DataError(f"The seed {chosen} is negative.", "Use 0 or more.")
        settings = {"generator": "sprites", "version": self.version, "seed": chosen, "videos": count}
        try:
            if not _complete(out, split, settings):
                _install(out, split, settings, progress)
        except OSError as error:
            where = error.filename or out
            raise DataError(
                f"Can't write {where}: {error.strerror or error}.", "Free some space, or name another folder."
            ) from error


def _manifest(out: Path, split: str) -> Path:
    return out / f"sprites-{split}.json"


def _complete(out: Path, split: str, settings: Mapping[str, object]) -> bool:
    """Whether exactly this split is there already."""
    path = _manifest(out, split)
    if not path.exists():
        return False
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}.", "Delete it, or name another folder.") from error
    if found == settings:
        return True
    told = [
        f"{key} {found.get(key)} instead of {want}"
        for key, want in settings.items()
        if found.get(key) != want
    ]
    raise DataError(
        f"{out} already holds sprites/{split} made with {', '.join(told)}.",
        f"Name another folder, or delete these in it: {', '.join((path.name, *pieces(split)))}.",
    )


def _install(out: Path, split: str, settings: Mapping[str, object], progress: Progress | None) -> None:
    """Make a split in a folder beside its place and move it in."""
    moving = out / f".sprites-{split}.moving"
    if not moving.exists():
        taken = [piece for piece in pieces(split) if (out / piece).exists()]
        if taken:
            raise DataError(
                f"{out / taken[0]} exists, and no manifest says that sprites made it.",
                "Name another folder, or delete it; nothing was changed.",
            )
    out.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(out, split)
    partial = out / f".sprites-{split}.partial-{os.getpid()}"
    partial.mkdir()
    try:
        _make(partial, split, settings, progress)
        if _complete(out, split, settings):
            return  # another process was faster
        # From here to the manifest pieces may be ours but incomplete: the marker tells a rerun so.
        moving.write_text("Pieces are being moved in; run the same command again.\n", encoding="utf-8")
        for piece in pieces(split):
            target = out / piece
            if target.is_dir():
                shutil.rmtree(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(partial / piece, target)
        os.replace(partial / "manifest.json", _manifest(out, split))
        moving.unlink()
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _make(folder: Path, split: str, settings: Mapping[str, object], progress: Progress | None) -> None:
    writer = Writer(folder, split)
    seed, count = int(str(settings["seed"])), int(str(settings["videos"]))
    for index in range(count):
        writer.add(tell(seed, split, index))
        os.utime(folder)
        if progress is not None:
            progress(index + 1, count)
    writer.finish()
    (folder / "manifest.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def _clear_abandoned(out: Path, split: str) -> None:
    """Remove what a killed run left; a running one touches its folder at every video."""
    for folder in out.glob(f".sprites-{split}.partial-*"):
        if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
