"""Raw annotations of VidSTG and HC-STVG to the processed form that their readers read.

Gives what TubeDETR's ``preproc_vidstg.py`` and ``preproc_hcstvgv2.py`` give, for one split at a time. Videos
that are there are held against the annotations; what differs is told and listed beside the result.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks.datasets.files import first_of, read_json, reading
from benchmarks.disk import replace_text
from grounding_core.errors import DataError, VideoError
from grounding_core.interfaces.dataset import Progress
from grounding_core.video import Video

HCSTVG_SOURCE = "https://github.com/tzhhhh123/HC-STVG"
VIDSTG_SOURCE = "https://github.com/Guaranteer/VidSTG-Dataset"
VIDOR_SOURCE = "https://xdshang.github.io/docs/vidor.html"
VIDOR_PART = {"train": "training", "val": "training", "test": "validation"}
"""VidSTG's val is a tenth of VidOR's training videos, its test VidOR's validation videos."""

_log = logging.getLogger(__name__)


def hcstvg(root: Path, videos: Path, split: str, target: Path, progress: Progress | None) -> None:
    """``hcstvg/anno_v2/<split>_v2.json`` to ``target``.

    Args:
        root: data root.
        videos: folder of the videos, ``<folder>/<name>.mp4`` or ``<name>.mp4``.
        split: ``train`` or ``val``.
        target: the file to write; kept if it is there.
        progress: told as videos are finished.

    Raises:
        DataError: the annotations are missing or malformed, or a video is missing.
    """
    if target.is_file():
        return
    raw = first_of(root, [f"hcstvg/anno_v2/{split}_v2.json", f"hcstvg/anno_v2/{split}v2.json"])
    content = read_json(raw, HCSTVG_SOURCE)
    files = {path.stem: path for path in videos.rglob("*.mp4")} if videos.is_dir() else {}
    found: list[dict[str, Any]] = []
    faults: list[str] = []
    with reading(raw, "the file"):
        for name, entry in content.items():
            with reading(raw, f"video {name}"):
                stem = Path(name).stem
                if stem not in files:
                    raise DataError(
                        f"The video {name} of {raw} is not below {videos}.", f"Get it from {HCSTVG_SOURCE}."
                    )
                height, width = (int(side) for side in entry["img_size"])
                start, boxes = int(entry["st_frame"]), entry["bbox"]
                found.append(
                    {
                        "original_video_id": stem,
                        "frame_count": int(entry["img_num"]),
                        "width": width,
                        "height": height,
                        "tube_start_frame": start,
                        "tube_end_frame": start + len(boxes),
                        "tube_start_time": entry["st_time"],
                        "tube_end_time": entry["ed_time"],
                        "video_path": files[stem].relative_to(videos).as_posix(),
                        "caption": entry["English"],
                        "video_id": len(found),
                        "trajectory": boxes,
                    }
                )
                faults += _faults(files[stem], int(entry["img_num"]), (height, width))
            if progress is not None:
                progress(len(found), len(content))
    replace_text(target, json.dumps(found))
    _tell(faults, target)


def vidstg(root: Path, split: str, target: Path, progress: Progress | None) -> None:
    """``vidstg/{vidstg_annotations,vidor_annotations}`` to ``target``.

    What is read of each VidOR file is kept in a folder beside the target until all is done: interrupted, it
    goes on from there.

    Args:
        root: data root.
        split: ``train``, ``val`` or ``test``.
        target: the file to write; kept if it is there.
        progress: told as videos are finished.

    Raises:
        DataError: annotations are missing or malformed.
    """
    if target.is_file():
        return
    raw = root / "vidstg/vidstg_annotations" / f"{split}_annotations.json"
    vidor = root / "vidstg/vidor_annotations" / VIDOR_PART[split]
    content = read_json(raw, VIDSTG_SOURCE)
    files = {path.stem: path for path in vidor.glob("*/*.json")}
    if not files:
        raise DataError(f"{vidor} is missing, or holds no annotations.", f"Get them from {VIDOR_SOURCE}.")
    targets: dict[str, set[str]] = {}
    with reading(raw, "the file"):
        for entry in content:
            named = targets.setdefault(str(entry["vid"]), set())
            named |= {str(sentence["target_id"]) for _, sentence in _sentences(entry)}
    parts = target.with_name(f".{target.stem}.parts")
    for done, (video, named) in enumerate(sorted(targets.items()), start=1):
        part = parts / f"{video}.json"
        if not part.is_file():
            if video not in files:
                raise DataError(f"{vidor} lacks the video {video} of {raw}.", f"Get it from {VIDOR_SOURCE}.")
            replace_text(part, json.dumps(_with_faults(root, vidor_tubes(files[video], named))))
        if progress is not None:
            progress(done, len(targets))
    faults = _join(raw, content, parts, target)
    shutil.rmtree(parts)
    _tell(faults, target)


def _sentences(entry: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Question type and sentence, in TubeDETR's order."""
    yield from (("interrogative", sentence) for sentence in entry["questions"])
    yield from (("declarative", sentence) for sentence in entry["captions"])


def vidor_tubes(path: Path, named: set[str]) -> dict[str, Any]:
    """Of a VidOR file: the facts of its video, and the named objects' categories and boxes.

    Raises:
        DataError: it is missing, malformed or lacks an object.
    """
    entry = read_json(path, VIDOR_SOURCE)
    with reading(path, "the file"):
        categories = {str(thing["tid"]): thing["category"] for thing in entry["subject/objects"]}
        if named - set(categories):
            raise ValueError(f"it has no object {', '.join(sorted(named - set(categories)))}")
        tubes: dict[str, dict[str, Any]] = {id: {} for id in sorted(named)}
        for frame, objects in enumerate(entry["trajectories"]):
            for found in objects:
                if str(found["tid"]) in named:
                    box = found["bbox"]
                    left, top = box["xmin"], box["ymin"]
                    tubes[str(found["tid"])][str(frame)] = {
                        "bbox": [left, top, box["xmax"] - left, box["ymax"] - top],
                        "generated": found["generated"],
                        "tracker": found["tracker"],
                    }
        return {
            "video_path": str(entry["video_path"]),
            "frame_count": int(entry["frame_count"]),
            "size": [int(entry["height"]), int(entry["width"])],
            "categories": {id: categories[id] for id in tubes},
            "trajectories": tubes,
        }


def _with_faults(root: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    video = root / "vidstg/video" / found["video_path"]
    height, width = found["size"]
    there = video.is_file()
    return {**found, "faults": _faults(video, found["frame_count"], (height, width)) if there else []}


def _join(raw: Path, content: Sequence[Mapping[str, Any]], parts: Path, target: Path) -> list[str]:
    """Write the processed file as a stream, one video's boxes in memory at a time; the faults found."""
    sentences: list[dict[str, Any]] = []
    categories: dict[str, Any] = {}
    faults: list[str] = []
    temporary = target.with_name(f".{target.name}.new")
    by_video: dict[str, list[Mapping[str, Any]]] = {}
    for entry in content:
        by_video.setdefault(str(entry["vid"]), []).append(entry)
    paths: dict[str, str] = {}
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write('{"trajectories": {')
            for place, (video, entries) in enumerate(by_video.items()):
                part = read_json(parts / f"{video}.json", VIDOR_SOURCE)
                for entry in entries:
                    with reading(raw, f"video {video}"):
                        _check_moment(entry, part["trajectories"])
                file.write(f"{', ' if place else ''}{json.dumps(video)}: {json.dumps(part['trajectories'])}")
                categories[video], paths[video] = part["categories"], part["video_path"]
                faults += part["faults"]
            for entry in content:
                with reading(raw, f"video {entry['vid']}"):
                    sentences += _processed(entry, paths[str(entry["vid"])], len(sentences))
            _finish(file, {"videos": sentences, "obj_categories": categories})
        os.replace(temporary, target)
    except OSError as error:
        raise DataError(f"Can't write {target}: {error.strerror or error}.", "Free some space.") from error
    return faults


def _finish(file: IO[str], rest: Mapping[str, Any]) -> None:
    """Close the trajectories' object, and write the fields that follow."""
    file.write("}, " + json.dumps(rest)[1:])
    file.flush()
    os.fsync(file.fileno())


def _processed(entry: Mapping[str, Any], path: str, first: int) -> list[dict[str, Any]]:
    shared = {
        "original_video_id": entry["vid"],
        "frame_count": entry["frame_count"],
        "fps": entry["fps"],
        "width": entry["width"],
        "height": entry["height"],
        "start_frame": entry["used_segment"]["begin_fid"],
        "end_frame": entry["used_segment"]["end_fid"],
        "tube_start_frame": entry["temporal_gt"]["begin_fid"],
        "tube_end_frame": entry["temporal_gt"]["end_fid"],
        "video_path": path,
    }
    return [
        {
            **shared,
            "caption": sentence["description"],
            "type": sentence["type"],
            "target_id": sentence["target_id"],
            "video_id": first + number,
            "qtype": qtype,
        }
        for number, (qtype, sentence) in enumerate(_sentences(entry))
    ]


def _check_moment(entry: Mapping[str, Any], tubes: Mapping[str, Mapping[str, Any]]) -> None:
    """The moment must lie between the first and the last box of each object that is asked for."""
    start, end = int(entry["temporal_gt"]["begin_fid"]), int(entry["temporal_gt"]["end_fid"])
    for _, sentence in _sentences(entry):
        frames = [int(frame) for frame in tubes[str(sentence["target_id"])]]
        if not frames or not min(frames) <= start < end <= max(frames) + 1:
            raise ValueError(
                f"the moment [{start}, {end}) leaves the boxes of object {sentence['target_id']}"
            )


def _faults(path: Path, frames: int, size: tuple[int, int]) -> list[str]:
    """How a video differs from what its annotations say; one frame more or less is common, and no fault."""
    try:
        video = Video.open(path)
    except VideoError as error:
        return [str(error)]
    found = []
    if abs(len(video) - frames) > 1:
        found.append(f"{path} has {len(video)} frames, its annotations {frames}.")
    if video.size != size:
        found.append(f"{path} has frames of {video.size} (height, width), its annotations {size}.")
    return found


def _tell(faults: Sequence[str], target: Path) -> None:
    if faults:
        listed = target.with_suffix(".faults.txt")
        replace_text(listed, "\n".join(faults) + "\n")
        _log.warning("%d videos differ from their annotations: see %s", len(faults), listed)
