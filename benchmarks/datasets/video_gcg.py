"""Video GCG (BURST and YTVIS): a dense caption of each video whose words point at mask tracks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.datasets.files import open_frames, read_json, reading, tags_of, track
from benchmarks.datasets.published import published
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Box, Dataset, Part, Published, Sample, Truth
from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText, Query, Span
from grounding_core.video import Video

SOURCE = "https://github.com/mbzuai-oryx/VideoGLaMM"
FRAME_FOLDERS = ("burst/frames/{burst}", "burst/frames", "ytvis/vos/train/JPEGImages")
"""Where frames lie below the data root, or below ``video_gcg/``; ``{burst}`` is BURST's train or val."""


class VideoGCG(Dataset):
    """``video_gcg/instruction_data/<split>.json``; frames of BURST and YTVIS 2019.

    Each ``token_pos`` names a word of the caption, split on single blanks; a word named with several masks
    points at all of them. Neighbouring words that point at the same masks are one phrase ("red kite").
    As in VideoGLaMM (``utils/video_gcg_dataset.py``), YTVIS frames come from its training folder and BURST
    frames from ``train`` or, for val and test, ``val``. The annotations were made by a script
    (``generate_annotations.py``) that leaves oddities: videos without a caption, which are left out; a
    position of -1 before the first word, which names no word; positions beyond the list of masks, which
    point at nothing.
    """

    tasks: ClassVar[tuple[str, ...]] = ("gcg",)
    default_split: ClassVar[str] = "test"
    licence: ClassVar[str] = f"none stated, so research only; {SOURCE}"
    splits: ClassVar[Mapping[str, Published]] = published("video-gcg")

    def samples(self, task: str, split: str) -> Sequence[Sample]:
        """One sample a video; sets made by `grounding annotate` also have questions, each a sample."""
        path = self.root / _annotation_file(split)
        content = read_json(path, SOURCE)
        folders = _frame_folders(self.root, split)
        found: list[Sample] = []
        with reading(path, "the file"):
            masks: dict[int, dict[int, Any]] = {}
            for annotation in content["annotations"]:
                objects = masks.setdefault(int(annotation["video_id"]), {})
                objects[int(annotation["id"])] = annotation["segmentations"]
            for entry in content["videos"]:
                with reading(path, f"video {entry.get('id')}"):
                    if entry["dense_cap"]["caption"] is not None:
                        found += _samples(path, folders, entry, masks.get(int(entry["id"]), {}))
        return sorted(found, key=lambda sample: sample.id)

    def parts(self, split: str) -> Sequence[Part]:
        """Captions with masks, and the frames of both sources."""
        burst, _, ytvis = (_there(self.root, folder) for folder in _folder_names(split))
        return [
            Part(_annotation_file(split), "captions and masks", SOURCE),
            Part(burst, "frames", "https://github.com/Ali2500/BURST-benchmark"),
            Part(ytvis, "frames", "https://youtube-vos.org/dataset/vis"),
        ]


def _annotation_file(split: str) -> str:
    return f"video_gcg/instruction_data/{split}.json"


def _folder_names(split: str) -> list[str]:
    return [folder.format(burst="train" if split == "train" else "val") for folder in FRAME_FOLDERS]


def _there(root: Path, folder: str) -> str:
    """The folder below the root, or below ``video_gcg/`` if it is only there."""
    inside = f"video_gcg/{folder}"
    return inside if (root / inside).is_dir() and not (root / folder).is_dir() else folder


def _frame_folders(root: Path, split: str) -> list[Path]:
    return [above / folder for above in (root, root / "video_gcg") for folder in _folder_names(split)]


def _samples(
    path: Path, folders: Sequence[Path], entry: Mapping[str, Any], masks: Mapping[int, Any]
) -> Iterator[Sample]:
    names = [str(name) for name in entry["file_names"]]
    folder = str(Path(names[0]).parent)
    source = entry.get("dataset_split") or entry.get("metadata", {}).get("dataset")
    id = f"{folder}#{entry['id']}"
    opened = partial(_open, folders, folder, names)
    tags = {**({} if source is None else {"source": str(source)}), **tags_of(entry)}
    load = partial(_truth, path, entry, masks, entry["dense_cap"])
    yield Sample(id, folder, Query(kind="describe"), opened, load, tags)
    for number, asked in enumerate(entry.get("questions", ())):
        answer = {"v_id2o_id": entry["dense_cap"].get("v_id2o_id"), **asked}
        load = partial(_truth, path, entry, masks, answer)
        query = Query(str(asked["question"]), "ask")
        yield Sample(f"{id}?{number}", folder, query, opened, load, {**tags, "form": str(asked["form"])})


def _open(folders: Sequence[Path], folder: str, names: Sequence[str]) -> Video:
    for frames in folders:
        movie = frames / f"{folder}.mp4"
        if movie.is_file() or (frames / names[0]).is_file():
            return open_frames(movie, [frames / name for name in names])
    raise DataError(
        f"The frames of {folder} are missing.",
        f"Put them below {' or '.join(map(str, folders[:3]))} (from {SOURCE}).",
    )


def _truth(path: Path, entry: Mapping[str, Any], masks: Mapping[int, Any], dense: Mapping[str, Any]) -> Truth:
    with reading(path, f"video {entry['id']}"):
        size = int(entry["height"]), int(entry["width"])
        frames = len(entry["file_names"])
        caption = str(dense["caption"])
        words = _words(caption)
        pointing: dict[int, list[int]] = {}
        # Positions beyond the list of masks point at nothing: see the class.
        for place, ids in zip(dense["token_pos"], dense["mask_id"]):  # noqa: B905
            named = ids if isinstance(ids, list) else [ids]
            if 0 <= int(place) < len(words):
                pointing.setdefault(int(place), []).extend(_object(int(id), dense, masks) for id in named)
        used = sorted({id for ids in pointing.values() for id in ids})
        for id in used:
            if len(masks[id]) < frames:
                raise ValueError(f"mask {id} has {len(masks[id])} entries for {frames} frames")
        tracks = tuple(track(id, masks[id][:frames], size) for id in used)
        spans = _spans(caption, words, pointing)
        unnamed = [track(id, masks[id][:frames], size) for id in sorted(set(masks) - set(used))]
    return Truth(
        tracks=tracks,
        caption=GroundedText(caption, spans, tracks),
        # An answer need not name every object; a caption should.
        others=[] if "question" in dense else [_boxes(other) for other in unnamed],
    )


def _boxes(other: MaskTrack) -> dict[int, Box]:
    found = ((frame, other.box(frame)) for frame in other.visible())
    return {frame: box for frame, box in found if box is not None}


def _words(caption: str) -> list[tuple[int, int]]:
    """Start and end of each word; two blanks in a row have an empty word between them."""
    places, start = [], 0
    for word in caption.split(" "):
        places.append((start, start + len(word)))
        start += len(word) + 1
    return places


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
