"""Items to Label Studio and back (https://labelstud.io/guide/task_format).

A folder: ``tasks.json``, the labelling configuration, and the media, which Label Studio reads as local files.
Either a task an item, a video with rectangles; or a task a frame, a picture with brushes, since Label Studio
knows no masks in videos. Objects are the labels ``object 0``, ``object 1``, ...; the caption is a text with
its marks, the verdict a choice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np

from benchmarks.annotate.items import Thing, digest
from benchmarks.annotate.layout import write_frames
from benchmarks.annotate.steps import MaskMaker
from benchmarks.annotate.writers import marked
from benchmarks.datasets.files import reading
from benchmarks.datasets.markup import Caption
from benchmarks.disk import replace_text
from benchmarks.review.changes import VERDICTS, Change
from benchmarks.review.reviewing import Review, ReviewItem
from grounding_core.drawing import PALETTE
from grounding_core.errors import DataError
from grounding_core.label_studio import Box, Json, boxes_of, brush, from_rle, rectangles
from grounding_core.masks import BoolMask, MaskTrack, encode
from grounding_core.render import write_overlay
from grounding_core.types import GroundedText

Shape = Literal["boxes", "masks"]
LARGEST = 1 << 28
"""Bytes of a file that is read."""
LOCAL = "/data/local-files/?d="
"""How Label Studio addresses files below its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""
NEAR = 1.0
"""Pixels by which a box may differ from the mask's own and count as untouched."""
_OBJECT = re.compile(r"object (\d+)")


def write(
    review: Review, items: Sequence[ReviewItem], out: Path, shape: Shape = "boxes", prefix: str = LOCAL
) -> None:
    """Write items as they are now: ``tasks.json``, ``labels.xml`` and ``media/``.

    Args:
        review: the items.
        items: which of them.
        out: the folder.
        shape: ``boxes``: videos with rectangles; ``masks``: frames with brushes.
        prefix: what Label Studio puts before a path below ``out`` to find a file.

    Raises:
        GroundingError: a video or its truth can't be read, or the disk refuses.
    """
    tasks: list[Json] = []
    most = 0
    for item in items:
        text, video = review.text(item), item.sample.open_video()
        most = max([most, *(track.id for track in text.tracks)])
        media = f"media/{digest(item.key)[:12]}"
        said = {"item": item.key, "caption": marked(Caption(text.text, text.spans))}
        if shape == "boxes":
            write_overlay(video, GroundedText(""), out / f"{media}.mp4")
            data = {**said, "video": prefix + quote(f"{media}.mp4"), "fps": round(video.fps, 3)}
            regions = [_noted(text, t, rectangles(t, fps=video.fps, label=_label(t.id))) for t in text.tracks]
            tasks.append(_task(review, item, data, regions, "video"))
            continue
        for index, name in enumerate(write_frames(video, out / media)):
            regions = [
                _noted(text, t, brush(t.mask(index), id=f"object-{t.id}-{index}", label=_label(t.id)))
                for t in text.tracks
                if t.frames[index] is not None
            ]
            data = {**said, "image": prefix + quote(f"{media}/{name}"), "frame": index}
            tasks.append(_task(review, item, data, regions, "image"))
    replace_text(out / "labels.xml", configuration(shape, most))
    replace_text(out / "tasks.json", json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")


def _label(id: int) -> str:
    return f"object {id}"


def _noted(text: GroundedText, track: MaskTrack, region: Json) -> Json:
    """A region with the object's words as its note."""
    words = [text.phrase(span) for span in text.spans if track.id in span.tracks]
    return {**region, "meta": {"text": words}} if words else region


def _task(review: Review, item: ReviewItem, data: Json, regions: list[Json], shown: str) -> Json:
    verdict = review.status(item)
    told = [_told("caption", "textarea", shown, {"text": [data["caption"]]})]
    if verdict in VERDICTS:
        told.append(_told("verdict", "choices", shown, {"choices": [verdict]}))
    prediction = {"model_version": "grounding_core", "result": [*regions, *told]}
    return {"data": data, "predictions": [prediction]}


def _told(name: str, kind: str, shown: str, value: Json) -> Json:
    return {"id": name, "type": kind, "from_name": name, "to_name": shown, "value": value}


def configuration(shape: Shape, most: int) -> str:
    """The labelling configuration (XML) for objects 0 to ``most``."""
    shown = "video" if shape == "boxes" else "image"
    view = ElementTree.Element("View")

    def add(parent: ElementTree.Element, tag: str, **facts: str) -> ElementTree.Element:
        return ElementTree.SubElement(parent, tag, facts)

    verdict = add(view, "Choices", name="verdict", toName=shown, choice="single", showInline="true")
    for word in VERDICTS:
        add(verdict, "Choice", value=word)
    add(view, "Header", value="[words](0) point at object 0")
    add(view, "TextArea", name="caption", toName=shown, editable="true", maxSubmissions="1", rows="3")
    if shape == "boxes":
        labels = add(view, "Labels", name="objects", toName=shown)
        add(view, "Video", name=shown, value="$video", frameRate="$fps")
        add(view, "VideoRectangle", name="box", toName=shown)
    else:
        labels = add(view, "BrushLabels", name="mask", toName=shown)
        add(view, "Image", name=shown, value="$image")
    for id in range(most + 1):
        red, green, blue = PALETTE[id % len(PALETTE)]
        add(labels, "Label", value=_label(id), background=f"#{red:02x}{green:02x}{blue:02x}")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


@dataclass
class _Found:
    """What the annotations of an item's tasks say.

    Attributes:
        boxes: object -> frame -> box; None without a task of the whole video.
        masks: frame -> object -> mask, of the frames whose task was annotated.
        captions, verdict: as they were left.
        who: the last to annotate.
    """

    boxes: dict[int, dict[int, Box]] | None = None
    masks: dict[int, dict[int, BoolMask]] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)
    verdict: str | None = None
    who: str = ""


def read(review: Review, path: Path, who: str | None, maker: MaskMaker) -> list[Change]:
    """Take over what was changed in Label Studio: the last annotation of each task counts.

    Args:
        review: the items.
        path: what Label Studio exported as JSON.
        who: did it; None: whom the annotation names.
        maker: makes masks of boxes that were changed; masks whose boxes were not stay as they are.

    Returns:
        the changes that were made, none where nobody annotated or everything agrees.

    Raises:
        DataError: the file is not of this format, or a region does not say which object it is.
        ReviewError: a caption names unknown objects.
    """
    found: dict[str, _Found] = {}
    for task in _tasks(path):
        with reading(path, "a task"):
            key, data = str(task["data"]["item"]), task["data"]
            if key not in review.places:
                raise DataError(
                    f"{path} is about {key!r}, which is not reviewed here.", "Review the data it is from."
                )
            done = [one for one in task.get("annotations", ()) if not one.get("was_cancelled")]
            if done:
                last = max(done, key=lambda one: str(one.get("updated_at", "")))
                _annotation(found.setdefault(key, _Found()), data, last, review.items[review.places[key]])
    changes = []
    for key, one in found.items():
        item = review.items[review.places[key]]
        before = marked(Caption((text := review.text(item)).text, text.spans))
        # Of the same caption below many frames, the one that was changed counts.
        caption = next((said for said in reversed(one.captions) if said != before), None)
        drawn = _drawn(item, text, one, maker)
        changes += review.take(
            item,
            drawn,
            who=who or f"{one.who} (Label Studio)",
            by="Label Studio",
            caption=caption,
            verdict=one.verdict,
        )
    return changes


def _annotation(found: _Found, data: Json, annotation: Json, item: ReviewItem) -> None:
    video = item.sample.open_video()
    by = annotation.get("completed_by")
    found.who = (
        str(by.get("email") or by.get("id", "")) if isinstance(by, dict) else f"user {by}" if by else ""
    )
    frame = data.get("frame")
    if frame is None:
        found.boxes = found.boxes or {}
    elif not 0 <= int(frame) < len(video):
        raise ValueError(f"has frame {frame} of {len(video)}")
    shapes: dict[int, BoolMask] = {} if frame is None else found.masks.setdefault(int(frame), {})
    for result in annotation["result"]:
        value, kind = result.get("value", {}), result.get("type")
        if kind == "textarea" and result.get("from_name") == "caption":
            text = value["text"]
            found.captions.append(text if isinstance(text, str) else " ".join(map(str, text)))
        elif kind == "choices" and result.get("from_name") == "verdict":
            found.verdict = next((word for word in value["choices"] if word in VERDICTS), found.verdict)
        elif kind == "videorectangle" and found.boxes is not None:
            boxes = boxes_of(value, video.size, len(video))
            found.boxes.setdefault(_object(value.get("labels"), kind), {}).update(boxes)
        elif kind == "brushlabels" and frame is not None:
            mask, id = from_rle(value["rle"], video.size), _object(value.get("brushlabels"), kind)
            shapes[id] = mask | shapes[id] if id in shapes else mask


def _annotator(by: Any) -> str:
    """Label Studio names its users by number, or with their address."""
    if isinstance(by, dict):
        return str(by.get("email") or by.get("id") or "somebody")
    return "somebody" if by is None else f"user {by}"


def _object(labels: Any, kind: str) -> int:
    """The number of the object that a region's labels name."""
    named = [match for label in labels or () if (match := _OBJECT.fullmatch(str(label)))]
    if len(named) != 1:
        raise ValueError(f"has a {kind} that is no one object: give it one label, such as “object 0”")
    return int(named[0][1])


def _drawn(
    item: ReviewItem, text: GroundedText, found: _Found, maker: MaskMaker
) -> dict[int, list[bytes | None]]:
    """Object -> masks, after what was drawn."""
    video = item.sample.open_video()
    tracks = {track.id: list(track.frames) for track in text.tracks}
    if found.boxes is not None:
        known = {track.id: track.boxes() for track in text.tracks}
        moved = {
            id: {f: box for f, box in boxes.items() if not _near(box, known.get(id, {}).get(f))}
            for id, boxes in found.boxes.items()
        }
        asked = [Thing(id, boxes=boxes) for id, boxes in moved.items() if boxes]
        made = dict(
            zip((thing.id for thing in asked), maker.tracks(video, asked) if asked else (), strict=True)
        )
        for id in {*tracks, *found.boxes}:
            before, boxes = tracks.get(id, [None] * len(video)), found.boxes.get(id, {})
            tracks[id] = [
                made[id].frames[f] if f in moved.get(id, {}) else before[f] if f in boxes else None
                for f in range(len(video))
            ]
    for frame, shapes in found.masks.items():
        for id in {*tracks, *shapes}:
            frames = tracks.setdefault(id, [None] * len(video))
            frames[frame] = encode(shapes[id]) if id in shapes else None
    return tracks


def _near(box: Box, other: Box | None) -> bool:
    return other is not None and bool(np.abs(np.subtract(box, other)).max() <= NEAR)


def _tasks(path: Path) -> Iterator[Mapping[str, Any]]:
    remedy = "Export it from Label Studio as JSON (not JSON-MIN)."
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} is larger than {LARGEST} bytes.", remedy)
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read: {error}.", remedy) from error
    if not isinstance(content, list) or not all(isinstance(task, dict) for task in content):
        raise DataError(f"{path} holds no list of tasks.", remedy)
    yield from content
