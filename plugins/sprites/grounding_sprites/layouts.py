"""The official layouts of MeViS, VidSTG and the video GCG set, written for generated videos."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco

from grounding_sprites.art import CATEGORIES
from grounding_sprites.scene import FPS, FRAMES, SIZE
from grounding_sprites.story import Story

_JPEG_QUALITY = 92
_FRAME_NAMES = tuple(f"{frame:05d}" for frame in range(FRAMES))


def pieces(split: str) -> tuple[str, ...]:
    """Files and folders below a data root that a split consists of."""
    return (
        f"mevis/{split}",
        f"vidstg/video/{split}",
        f"vidstg/{split}.json",
        f"video_gcg/burst/frames/{split}",
        f"video_gcg/instruction_data/{split}.json",
    )


@dataclass
class Writer:
    """Collects the annotations of a split and writes its media as they come.

    Attributes:
        root: an empty folder to write below.
        split: name of the split.
    """

    root: Path
    split: str
    _mevis: dict[str, Any] = field(default_factory=dict)
    _masks: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)
    _vidstg: list[dict[str, Any]] = field(default_factory=list)
    _trajectories: dict[str, Any] = field(default_factory=dict)
    _gcg_videos: list[dict[str, Any]] = field(default_factory=list)
    _gcg_objects: list[dict[str, Any]] = field(default_factory=list)

    def add(self, story: Story) -> None:
        """Write frames and video of a story, and keep its annotations."""
        name = f"{self.split}_{story.index:05d}"
        self._write_media(name, story.facts.rendered.frames)
        masks = [[_rle(mask) for mask in track] for track in story.facts.rendered.visible]
        first = len(self._masks)
        ids = [first + i for i in range(len(masks))]
        self._masks |= {str(id): track for id, track in zip(ids, masks, strict=True)}
        self._add_mevis(name, story, ids)
        self._add_vidstg(name, story, masks)
        self._add_gcg(name, story, ids, masks)

    def finish(self) -> None:
        """Write the annotation files."""
        mevis = self.root / "mevis" / self.split
        _dump(mevis / "meta_expressions.json", {"videos": self._mevis})
        _dump(mevis / "mask_dict.json", self._masks)
        vidstg = {"videos": self._vidstg, "trajectories": self._trajectories}
        _dump(self.root / "vidstg" / f"{self.split}.json", vidstg)
        gcg = {
            "videos": self._gcg_videos,
            "annotations": self._gcg_objects,
            "categories": [{"id": i, "name": category} for i, category in enumerate(CATEGORIES, 1)],
        }
        _dump(self.root / "video_gcg/instruction_data" / f"{self.split}.json", gcg)

    def _write_media(self, name: str, frames: npt.NDArray[np.uint8]) -> None:
        home = self.root / "mevis" / self.split / "JPEGImages"
        gcg = self.root / "video_gcg/burst/frames" / self.split
        stg = self.root / "vidstg/video" / self.split
        stg.mkdir(parents=True, exist_ok=True)
        for folder in (home, gcg):
            (folder / name).mkdir(parents=True)
        for frame, stem in zip(frames, _FRAME_NAMES, strict=True):
            path = home / name / f"{stem}.jpg"
            Image.fromarray(frame).save(path, quality=_JPEG_QUALITY)
            _link(path, gcg / name / path.name)
        video = home / f"{name}.mp4"
        write_mp4(video, frames)
        _link(video, gcg / video.name)
        _link(video, stg / video.name)

    def _add_mevis(self, name: str, story: Story, ids: list[int]) -> None:
        self._mevis[name] = {
            "frames": list(_FRAME_NAMES),
            "expressions": {
                str(i): {
                    "exp": expression.text,
                    "obj_id": list(expression.referents),
                    "anno_id": [ids[r] for r in expression.referents],
                    "kind": expression.form,
                    "tags": story.tags(expression),
                }
                for i, expression in enumerate(story.expressions)
            },
        }

    def _add_vidstg(self, name: str, story: Story, masks: list[list[dict[str, Any] | None]]) -> None:
        # Every object, asked about or not, as VidOR annotates them.
        self._trajectories[name] = {
            str(target): {
                str(frame): {"bbox": _box(rle)} for frame, rle in enumerate(track) if rle is not None
            }
            for target, track in enumerate(masks)
        }
        for expression in story.statements:
            (target,) = expression.referents
            interval = story.facts.interval(story.facts.things[target])
            if interval is None:
                continue
            start, end = interval
            self._vidstg.append(
                {
                    "video_id": len(self._vidstg),
                    "original_video_id": name,
                    "frame_count": FRAMES,
                    "fps": FPS,
                    "width": SIZE,
                    "height": SIZE,
                    "start_frame": 0,
                    "end_frame": FRAMES,
                    "tube_start_frame": start,
                    "tube_end_frame": end,
                    "video_path": f"{self.split}/{name}.mp4",
                    "caption": expression.text,
                    "type": story.facts.things[target].category,
                    "target_id": target,
                    "qtype": "declarative" if expression.form == "locate" else "interrogative",
                    "tags": story.tags(expression),
                }
            )

    def _add_gcg(
        self, name: str, story: Story, ids: list[int], masks: list[list[dict[str, Any] | None]]
    ) -> None:
        number = len(self._gcg_videos)
        pairs = sorted((place, ids[thing]) for thing, places in story.caption.phrases for place in places)
        self._gcg_videos.append(
            {
                "id": number,
                "file_names": [f"{self.split}/{name}/{stem}.jpg" for stem in _FRAME_NAMES],
                "width": SIZE,
                "height": SIZE,
                "length": FRAMES,
                "dataset_split": "burst",
                "dense_cap": {
                    "v_id2o_id": {str(i): id for i, id in enumerate(ids)},
                    "token_pos": [place for place, _ in pairs],
                    "mask_id": [id for _, id in pairs],
                    "caption": story.caption.text,
                },
                "tags": story.tags(),
            }
        )
        categories = list(CATEGORIES)
        for thing, id, track in zip(story.facts.things, ids, masks, strict=True):
            self._gcg_objects.append(
                {
                    "id": id,
                    "video_id": number,
                    "category_id": categories.index(thing.category) + 1,
                    "segmentations": track,
                    "bboxes": [None if rle is None else _box(rle) for rle in track],
                }
            )


def write_mp4(path: Path, frames: npt.NDArray[np.uint8]) -> None:
    """Encode frames (t, H, W, 3) as H.264, with a key frame every 8 frames for quick random access."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast", "g": "8", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _rle(mask: npt.NDArray[np.bool_]) -> dict[str, Any] | None:
    if not mask.any():
        return None
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": code["counts"].decode("ascii")}


def _box(rle: Mapping[str, Any]) -> list[int]:
    """x, y, width, height in pixels."""
    return [int(value) for value in coco.toBbox(dict(rle))]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links: FAT, some network mounts
        shutil.copyfile(source, target)


def _dump(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
