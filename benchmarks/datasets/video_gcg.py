"""Video GCG (BURST and YTVIS): a dense caption of each video whose words point at mask tracks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.datasets.files import open_frames, read_json, reading, tags_of, track
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Dataset, Sample, Truth
from grounding_core.types import GroundedText, Query, Span
from grounding_core.video import Video

SOURCE = "https://github.com/mbzuai-oryx/VideoGLaMM"
FRAME_FOLDERS = ("burst/frames", "ytvis/vos/train/JPEGImages")
_WORD = re.compile(r"\S+")


class VideoGCG(Dataset):
    """``video_gcg/instruction_data/<split>.json`` and frames below ``video_gcg/{burst,ytvis}/``.

    Each ``token_pos`` names a word of the caption, split on blanks; a word that names several masks points
    at all of them. Neighbouring words that point at the same masks are one phrase ("red kite").
    """

    tasks: ClassVar[tuple[str, ...]] = ("gcg",)
    default_split: ClassVar[str] = "test"
    licence: ClassVar[str] = f"research only; {SOURCE}"

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample a video."""
        path = self.root / "video_gcg" / "instruction_data" / f"{split}.json"
        content = read_json(path, SOURCE)
        found = []
        with reading(path, "the file"):
            masks: dict[int, dict[int, Any]] = {}
            for annotation in content["annotations"]:
                objects = masks.setdefault(int(annotation["video_id"]), {})
                objects[int(annotation["id"])] = annotation["segmentations"]
            for entry in content["videos"]:
                with reading(path, f"video {entry.get('id')}"):
                    found.append(self._sample(path, entry, masks.get(int(entry["id"]), {})))
        return sorted(found, key=lambda sample: sample.id)

    def _sample(self, path: Path, entry: Mapping[str, Any], masks: Mapping[int, Any]) -> Sample:
        names = [str(name) for name in entry["file_names"]]
        folder = str(Path(names[0]).parent)
        return Sample(
            id=f"{folder}#{entry['id']}",
            video_id=folder,
            query=Query(kind="describe"),
            open_video=partial(_open, self.root / "video_gcg", folder, names),
            load_truth=partial(_truth, path, entry, masks),
            tags=tags_of(entry),
        )


def _open(root: Path, folder: str, names: Sequence[str]) -> Video:
    for frames in FRAME_FOLDERS:
        movie = root / frames / f"{folder}.mp4"
        if movie.is_file() or (root / frames / names[0]).is_file():
            return open_frames(movie, [root / frames / name for name in names])
    raise DataError(
        f"The frames of {folder} are missing.",
        f"Put them below {' or '.join(str(root / frames) for frames in FRAME_FOLDERS)} (from {SOURCE}).",
    )


def _truth(path: Path, entry: Mapping[str, Any], masks: Mapping[int, Any]) -> Truth:
    with reading(path, f"video {entry['id']}"):
        size = int(entry["height"]), int(entry["width"])
        dense = entry["dense_cap"]
        caption = str(dense["caption"])
        words = [match.span() for match in _WORD.finditer(caption)]
        pointing: dict[int, list[int]] = {}
        for place, ids in zip(dense["token_pos"], dense["mask_id"], strict=True):
            named = ids if isinstance(ids, list) else [ids]
            pointing.setdefault(int(place), []).extend(_object(int(id), dense, masks) for id in named)
        used = sorted({id for ids in pointing.values() for id in ids})
        tracks = tuple(track(id, masks[id], size) for id in used)
        spans = _spans(caption, words, pointing)
    return Truth(tracks=tracks, caption=GroundedText(caption, spans, tracks))


def _spans(
    caption: str, words: Sequence[tuple[int, int]], pointing: Mapping[int, Sequence[int]]
) -> tuple[Span, ...]:
    spans: list[Span] = []
    last_place = -1
    for place, ids in sorted(pointing.items()):
        start, end = words[place]
        end = start + len(caption[start:end].rstrip(".,;:!?")) or end
        tracks = tuple(dict.fromkeys(ids))
        previous = spans[-1] if spans and place == last_place + 1 else None
        if previous is not None and previous.tracks == tracks and previous.end == words[last_place][1]:
            spans[-1] = Span(previous.start, end, tracks)
        else:
            spans.append(Span(start, end, tracks))
        last_place = place
    return tuple(spans)


def _object(id: int, dense: Mapping[str, Any], masks: Mapping[int, Any]) -> int:
    """The annotation a mask id names: itself, or through the video's own numbering."""
    return id if id in masks else int(dense["v_id2o_id"][str(id)])
