"""What is written: the layout of the video GCG set, which ``video-gcg`` reads, and a manifest."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.datasets.files import read_json
from benchmarks.datasets.markup import Caption
from benchmarks.disk import replace_text
from grounding_core.errors import DataError
from grounding_core.masks import MaskTrack
from grounding_core.video import Video

FRAMES = "video_gcg/burst/frames"
"""Below the output: a folder a split, a folder a video."""
QUALITY = 95


def placed(caption: Caption) -> dict[str, Any]:
    """A caption as outcomes keep it."""
    text, places, objects = words(caption)
    return {"caption": text, "places": places, "objects": objects}


def words(caption: Caption) -> tuple[str, list[int], list[int]]:
    """The caption, and which word (split on single blanks) points at which object.

    Returns:
        text, positions of words, and the object of each; a word of several objects is named for each.
    """
    text = " ".join(caption.text.split(" "))
    places: list[int] = []
    objects: list[int] = []
    start = 0
    for place, word in enumerate(text.split(" ")):
        end = start + len(word)
        for span in caption.spans:
            if span.start < end and start < span.end:
                places += [place] * len(span.tracks)
                objects += span.tracks
        start = end + 1
    return text, places, objects


def write_frames(video: Video, folder: Path) -> list[str]:
    """Write a video's frames below a folder; frames that are JPEG files already are copied.

    Returns:
        the names of the files.

    Raises:
        VideoError: a frame can't be decoded.
        DataError: the disk refuses.
    """
    names = [f"{index:05d}.jpg" for index in range(len(video))]
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        files = video.files
        if len(files) == len(video) and all(file.suffix == ".jpg" for file in files):
            for file, name in zip(files, names, strict=True):
                shutil.copyfile(file, partial / name)
        else:
            for index, frame in video.stream():
                Image.fromarray(frame).save(partial / names[index], quality=QUALITY)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    except OSError as error:
        raise DataError(f"Can't write {folder}: {error.strerror or error}.", "Free some space.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return names


def rles(track: MaskTrack) -> list[dict[str, Any] | None]:
    """A track as COCO RLE objects."""
    size = list(track.size)
    return [None if c is None else {"size": size, "counts": c.decode("ascii")} for c in track.frames]


def finish(out: Path, split: str, outcomes: Sequence[Path], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put the annotation file, the list of what was set aside and the manifest together.

    Args:
        out: data root to write below.
        split: name of the split.
        outcomes: files of all items, as the pipeline keeps them.
        facts: for the manifest: source, licences, settings.

    Returns:
        the manifest.
    """
    counts: Counter[str] = Counter(
        dict.fromkeys(
            (
                *("videos", "captions", "questions", "triplets", "objects", "masks"),
                *("set_aside", "refused", "left_out", "calls", "prompt_tokens", "reply_tokens"),
            ),
            0,
        )
    )
    cost = 0.0
    path = out / "video_gcg/instruction_data" / f"{split}.json"
    aside: list[str] = []
    paid: set[str] = set()

    def entries() -> Iterator[dict[str, Any]]:
        nonlocal cost
        for outcome in outcomes:
            found: dict[str, Any] = read_json(outcome, "`grounding annotate`")
            for step in found["steps"]:
                # Items that ask the same share an answer, which was paid for once.
                if "calls" in step and step["key"] not in paid:
                    paid.add(step["key"])
                    counts.update({key: step[key] for key in ("calls", "prompt_tokens", "reply_tokens")})
                    cost += step["cost"] or 0.0
            counts["refused"] += len(found["refused"])
            for refused in found["refused"]:
                told = {"item": found["item"], "problem": refused["problem"], "step": refused["step"]}
                aside.append(json.dumps({**told, "answers": [refused["answer"]]}, ensure_ascii=False) + "\n")
            if found["problem"]:
                counts["set_aside"] += 1
                told = {key: found[key] for key in ("item", "problem", "answers")}
                aside.append(json.dumps(told, ensure_ascii=False) + "\n")
                continue
            yield found

    replace_text(path, _content(entries(), counts))
    replace_text(out / f"annotate-{split}.aside.jsonl", aside)
    manifest = {**facts, "split": split, "counts": dict(counts), "cost": round(cost, 6)}
    replace_text(out / f"annotate-{split}.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return manifest


def _content(found: Iterable[Mapping[str, Any]], counts: Counter[str]) -> Iterator[str]:
    """The annotation file in parts: videos are kept in memory, masks are not."""
    videos: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    written = 0
    yield '{"annotations": ['
    for number, one in enumerate(found):
        ids: dict[int, int] = {}
        for thing in one["things"]:
            ids[thing["id"]] = written
            category = categories.setdefault(thing["name"] or "object", len(categories) + 1)
            annotation = {
                "id": written,
                "video_id": number,
                "category_id": category,
                "segmentations": thing["masks"],
            }
            yield f"{', ' if written else ''}{json.dumps(annotation)}"
            written += 1
            counts["masks"] += sum(mask is not None for mask in thing["masks"])
        videos.append(
            {
                "id": number,
                "file_names": one["files"],
                "width": one["size"][1],
                "height": one["size"][0],
                "length": len(one["files"]),
                "dense_cap": {
                    "caption": one["caption"],
                    "token_pos": one["places"],
                    "mask_id": [ids[id] for id in one["objects"]],
                    "v_id2o_id": {str(id): target for id, target in ids.items()},
                },
                "questions": [
                    {
                        "form": triplet["form"],
                        "question": triplet["question"],
                        "caption": triplet["caption"],
                        "token_pos": triplet["places"],
                        "mask_id": [ids[id] for id in triplet["objects"]],
                    }
                    for triplet in one["triplets"]
                ],
                "tags": {"source": one["source"]},
                "provenance": {"item": one["item"], "left_out": one["left_out"], "steps": one["steps"]},
            }
        )
        counts["videos"] += 1
        counts["captions"] += 1
        counts["questions"] += len(one["triplets"])
        counts["triplets"] += 1 + len(one["triplets"])
        counts["objects"] += len(ids)
        counts["left_out"] += len(one["left_out"])
    listed = [{"id": id, "name": name} for name, id in categories.items()]
    yield "], " + json.dumps({"videos": videos, "categories": listed}, ensure_ascii=False)[1:] + "\n"
