"""Items to CVAT and back, in its format "CVAT for images 1.1" (https://docs.cvat.ai/docs/other/xml_format).

One zip an item: ``annotations.xml`` and the frames. A mask has the label ``object`` and says with the
attribute ``object`` which object it is; the caption, with its marks, is a tag of the first frame.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from benchmarks.annotate.writers import marked
from benchmarks.datasets.files import reading
from benchmarks.datasets.markup import Caption
from benchmarks.review.changes import Change
from benchmarks.review.reviewing import Review, ReviewItem
from grounding_core.errors import DataError
from grounding_core.masks import BoolMask, encode

QUALITY = 95
LARGEST = 1 << 26
"""Bytes of an annotation file that is read."""
OBJECT, CAPTION = "object", "caption"
"""Labels."""


def write(review: Review, item: ReviewItem, path: Path) -> None:
    """Write an item as it is now.

    Raises:
        GroundingError: its video or truth can't be read, or the disk refuses.
    """
    video, text = item.sample.open_video(), review.text(item)
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    meta = ElementTree.SubElement(root, "meta")
    task = ElementTree.SubElement(meta, "task")
    told = {
        "name": item.key,
        "size": str(len(video)),
        "mode": "annotation",
        "overlap": "0",
        "flipped": "False",
    }
    for name, value in told.items():
        ElementTree.SubElement(task, name).text = value
    labels = ElementTree.SubElement(task, "labels")
    _label(labels, OBJECT, "mask", {OBJECT: "0", "phrase": ""})
    _label(labels, CAPTION, "tag", {"text": ""})
    phrases = {id: text.phrase(span) for span in reversed(text.spans) for id in span.tracks}
    partial = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(partial, "w") as archive:
            for index, frame in video.stream():
                name = f"frame_{index:06d}.jpg"
                picture = io.BytesIO()
                Image.fromarray(frame).save(picture, "JPEG", quality=QUALITY)
                archive.writestr(f"images/{name}", picture.getvalue())
                height, width = video.size
                facts = {"id": str(index), "name": name, "width": str(width), "height": str(height)}
                image = ElementTree.SubElement(root, "image", facts)
                if index == 0:
                    tag = ElementTree.SubElement(image, "tag", {"label": CAPTION, "source": "manual"})
                    _attribute(tag, "text", marked(Caption(text.text, text.spans)))
                for track in text.tracks:
                    if track.frames[index] is not None:
                        shape = ElementTree.SubElement(image, "mask", mask_attributes(track.mask(index)))
                        _attribute(shape, OBJECT, str(track.id))
                        _attribute(shape, "phrase", phrases.get(track.id, ""))
            ElementTree.indent(root)
            content = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
            archive.writestr("annotations.xml", content, zipfile.ZIP_DEFLATED)
        partial.replace(path)
    except OSError as error:
        raise DataError(f"Can't write {path}: {error.strerror or error}.", "Free some space.") from error
    finally:
        partial.unlink(missing_ok=True)


def read(review: Review, path: Path, who: str) -> list[Change]:
    """Take over what was changed in CVAT; masks, polygons and boxes count.

    Args:
        review: the items; the file's task is named after one of them.
        path: a zip, or its ``annotations.xml``.
        who: did it.

    Returns:
        the changes that were made, none where the file agrees with what is there.

    Raises:
        DataError: the file is not of this format, or a shape does not say which object it is.
        ReviewError: it is about an item that is not reviewed here, or its caption names unknown objects.
    """
    root = _parsed(path)
    key = root.findtext("meta/task/name") or root.findtext("meta/job/name") or ""
    if key not in review.places:
        raise DataError(
            f"{path} is about {key!r}, which is not reviewed here.", "Review the data it is from."
        )
    item = review.items[review.places[key]]
    text, video = review.text(item), item.sample.open_video()
    masks: dict[int, dict[int, BoolMask]] = {}
    caption = None
    for image in root.iter("image"):
        with reading(path, "an image"):
            index = int(image.get("id", -1))
        if not 0 <= index < len(video):
            raise DataError(f"{path}: image {index} is none of {len(video)} frames.", "Export it anew.")
        for tag in image.iter("tag"):
            if tag.get("label") == CAPTION:
                caption = _attributes(tag).get("text")
        for shape in image:
            if shape.tag in _SHAPES:
                id = _attributes(shape).get(OBJECT, "")
                if not id.isdigit():
                    what = f"a {shape.tag} in frame {index} has no attribute {OBJECT!r}"
                    raise DataError(f"{path}: {what}.", "Set it to the number of the object.")
                with reading(path, f"a {shape.tag} in frame {index}"):
                    drawn = _SHAPES[shape.tag](shape, video.size)
                frames = masks.setdefault(int(id), {})
                frames[index] = drawn | frames[index] if index in frames else drawn
    known = {track.id for track in text.tracks}
    drawn_now = {
        id: [encode(masks[id][i]) if i in masks.get(id, {}) else None for i in range(len(video))]
        for id in {*masks, *known}
    }
    return review.take(item, drawn_now, who=who, by="CVAT", caption=caption)


def _label(labels: ElementTree.Element, name: str, kind: str, attributes: Mapping[str, str]) -> None:
    label = ElementTree.SubElement(labels, "label")
    ElementTree.SubElement(label, "name").text = name
    ElementTree.SubElement(label, "type").text = kind
    described = ElementTree.SubElement(label, "attributes")
    for attribute, default in attributes.items():
        one = ElementTree.SubElement(described, "attribute")
        told = {
            "name": attribute,
            "mutable": "True",
            "input_type": "text",
            "default_value": default,
            "values": default,
        }
        for field, value in told.items():
            ElementTree.SubElement(one, field).text = value


def _attribute(element: ElementTree.Element, name: str, value: str) -> None:
    ElementTree.SubElement(element, "attribute", {"name": name}).text = value


def _attributes(element: ElementTree.Element) -> dict[str, str]:
    return {one.get("name", ""): (one.text or "").strip() for one in element.iter("attribute")}


def mask_attributes(mask: BoolMask) -> dict[str, str]:
    """A mask with pixels as CVAT writes it: run lengths of its box, row by row, background first."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    cut = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    flat = np.concatenate([[False], cut.ravel()])
    starts = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[1], starts, [len(flat)]]))
    box = {"left": left, "top": top, "width": cut.shape[1], "height": cut.shape[0]}
    told = {
        "label": OBJECT,
        "source": "manual",
        "occluded": "0",
        "rle": ", ".join(map(str, runs)),
        "z_order": "0",
    }
    return told | {name: str(value) for name, value in box.items()}


def of_mask(shape: ElementTree.Element, size: tuple[int, int]) -> BoolMask:
    """The mask (H, W) of a CVAT element.

    Raises:
        ValueError: it leaves the picture, or its run lengths do not add up.
    """
    top, left, width, height = (
        int(float(shape.get(name, ""))) for name in ("top", "left", "width", "height")
    )
    runs = [int(run) for run in shape.get("rle", "").split(",")]
    if not (0 < width <= size[1] and 0 < height <= size[0] and top >= 0 and left >= 0):
        raise ValueError("a mask leaves the picture")
    if min(runs) < 0 or sum(runs) != width * height:
        raise ValueError(f"the run lengths of a mask of {width}x{height} add up to {sum(runs)}")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    mask = np.zeros(size, dtype=bool)
    mask[top : top + height, left : left + width] = flat[: size[0] - top, : size[1] - left]
    return mask


def _of_polygon(shape: ElementTree.Element, size: tuple[int, int]) -> BoolMask:
    points = [tuple(map(float, point.split(","))) for point in shape.get("points", "").split(";")]
    return _drawn(size, lambda pen: pen.polygon(points, fill=1))


def _of_box(shape: ElementTree.Element, size: tuple[int, int]) -> BoolMask:
    x0, y0, x1, y1 = (float(shape.get(name, "")) for name in ("xtl", "ytl", "xbr", "ybr"))
    return _drawn(size, lambda pen: pen.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), fill=1))


def _drawn(size: tuple[int, int], draw: Any) -> BoolMask:
    image = Image.new("L", (size[1], size[0]))
    draw(ImageDraw.Draw(image))
    found: npt.NDArray[np.bool_] = np.asarray(image) > 0
    return found


_SHAPES = {"mask": of_mask, "polygon": _of_polygon, "box": _of_box}


def _parsed(path: Path) -> ElementTree.Element:
    remedy = 'Export it from CVAT as "CVAT for images 1.1".'
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open("annotations.xml") as file:
                content = file.read(LARGEST + 1)
        else:
            with path.open("rb") as file:
                content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise DataError(f"{path} is larger than {LARGEST} bytes.", remedy)
        # Entities can make a small file grow without bounds, and CVAT writes none.
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise DataError(f"{path} declares entities, which CVAT never does.", remedy)
        return ElementTree.fromstring(content)
    except (OSError, KeyError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise DataError(f"{path} can't be read: {error}.", remedy) from error
