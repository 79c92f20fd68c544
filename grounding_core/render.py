"""Answers to look at: overlay videos, contact sheets, and folders with everything (numpy, Pillow, PyAV)."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grounding_core import drawing
from grounding_core.errors import GroundingError
from grounding_core.serial import to_json
from grounding_core.types import GroundedText
from grounding_core.video import Video, sample_indices

if TYPE_CHECKING:
    from PIL import Image

_CLOCK = 90_000
"""Ticks a second in the files written: MPEG's own, fine enough for any variable frame rate."""

_SMALL = 256
"""Overlays of smaller videos are enlarged to this many pixels, for outlines and numbers to be seen."""

_LARGE = 16_384
"""Overlays of larger videos are reduced to this many pixels: x264 takes no more."""

_CONTENTS = re.compile(r"answer\.json|overlay\.mp4|sheet\.png|masks(/-?\d+(/\d{5,}\.png)?)?")
"""All that a saved answer's folder holds, as paths below it."""


def write_overlay(video: Video, answer: GroundedText, path: str | Path) -> None:
    """Write an H.264 mp4 of the video with the answer's tracks drawn on it, at the video's own times
    and in its proportions.

    Streams: memory does not grow with the length. Small videos are enlarged by a whole factor, those
    larger than the encoder takes are reduced, odd sizes padded by a black line. The file appears when it
    is complete.

    Raises:
        GroundingError: the answer is about another video.
        VideoError: a frame can't be decoded.
    """
    import av

    _check(video, answer)
    size = drawing.fit(video.size, _SMALL, whole=True)
    height, width = size = drawing.fit(size, min(max(size), _LARGE))
    even = (width + width % 2, height + height % 2)
    ticks = np.round((video.timestamps - video.timestamps[0]) * _CLOCK).astype(np.int64)
    ticks = np.maximum.accumulate(ticks - np.arange(len(ticks))) + np.arange(len(ticks))  # no two alike
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with av.open(str(part), "w", format="mp4", options={"movflags": "faststart"}) as container:
            rate = Fraction(video.fps).limit_denominator(1001)
            stream = container.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryfast"})
            stream.width, stream.height = even
            stream.codec_context.sample_aspect_ratio = video.pixel_aspect
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, _CLOCK)
            for index, pixels in video.stream():
                drawn = drawing.draw_tracks(pixels, answer.tracks, index, size)
                if drawn.size != even:
                    drawn = drawn.crop((0, 0, *even))
                frame = av.VideoFrame.from_image(drawn)
                frame.pts, frame.time_base = int(ticks[index]), Fraction(1, _CLOCK)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def contact_sheet(video: Video, answer: GroundedText, frames: int = 8, *, title: str = "") -> Image.Image:
    """Frames spread over the video with the answer's tracks, and its text with coloured phrases below.

    Args:
        video: what was asked about.
        answer: what to show.
        frames: at most this many pictures; a shorter video shows each frame once.
        title: a line above, e.g. the question.

    Returns:
        RGB picture, about 1,300 pixels wide with more than three frames.

    Raises:
        GroundingError: the answer is about another video.
        VideoError: a frame can't be decoded, or ``frames`` is below 1.
    """
    from PIL import Image, ImageDraw

    _check(video, answer)
    indices = sorted(set(sample_indices(len(video), frames)))
    rows, columns = drawing.grid(len(indices))
    cell_h, cell_w = size = drawing.fit(video.size, {1: 720, 2: 560, 3: 420}.get(columns, 320))
    margin, gap, caption = 20, 8, 20
    width = max(480, columns * cell_w + (columns - 1) * gap) + 2 * margin
    heading = drawing.Words(GroundedText(title), width=width - 2 * margin, size=22, max_lines=3)
    words = drawing.Words(answer, width=width - 2 * margin)
    above = margin + (heading.height + gap if heading.height else 0)
    below = above + rows * (cell_h + caption) + (rows - 1) * gap
    sheet = Image.new("RGB", (width, below + gap + words.height + margin), drawing.PAPER)
    pen = ImageDraw.Draw(sheet)
    heading.draw(pen, margin, margin)
    times = video.timestamps
    for place, (index, pixels) in enumerate(zip(indices, video.frames(indices), strict=True)):
        x = margin + place % columns * (cell_w + gap)
        y = above + place // columns * (cell_h + caption + gap)
        sheet.paste(drawing.draw_tracks(pixels, answer.tracks, index, size), (x, y))
        label = f"{times[index]:.2f} s · frame {index}"
        pen.text((x, y + cell_h + caption / 2), label, font=drawing.font(13), fill=drawing.FAINT, anchor="lm")
    words.draw(pen, margin, below + gap)
    return sheet


def stack_sheets(sheets: Sequence[Image.Image]) -> Image.Image:
    """Sheets of several answers, one below the other.

    Args:
        sheets: at least one, of any width.

    Returns:
        RGB picture as wide as the widest.
    """
    from PIL import Image

    page = Image.new("RGB", (max(s.width for s in sheets), sum(s.height for s in sheets)), drawing.PAPER)
    top = 0
    for sheet in sheets:
        page.paste(sheet, (0, top))
        top += sheet.height
    return page


def save_answer(answer: GroundedText, video: Video, out_dir: str | Path, *, title: str = "") -> Path:
    """Write an answer as a folder, which appears when it is complete and replaces an earlier answer.

    The folder holds ``answer.json`` (see `grounding_core.serial.to_json`, and ``video``: source,
    frames, size, fps), ``masks/<track>/<frame>.png`` (0 or 255, one a frame), ``overlay.mp4`` and
    ``sheet.png``.

    Args:
        answer: what to save.
        video: what was asked about.
        out_dir: the folder.
        title: a line on the sheet, e.g. the question.

    Returns:
        The folder.

    Raises:
        GroundingError: the answer is about another video, or the folder holds other files or can't
            be written.
        VideoError: a frame can't be decoded.
    """
    from PIL import Image

    with _folder(Path(out_dir).resolve()) as folder:
        record = {
            "video": {
                "source": video.source,
                "frames": len(video),
                "size": list(video.size),
                "fps": video.fps,
            },
            **to_json(answer),
        }
        text = json.dumps(record, ensure_ascii=False, indent=1)
        (folder / "answer.json").write_text(text + "\n", encoding="utf-8")
        contact_sheet(video, answer, title=title).save(folder / "sheet.png")
        write_overlay(video, answer, folder / "overlay.mp4")
        for track in answer.tracks:
            place = folder / "masks" / str(track.id)
            place.mkdir(parents=True)
            for index in range(len(track)):
                mask = Image.fromarray(track.mask(index).astype(np.uint8) * 255)
                mask.save(place / f"{index:05d}.png")
    return Path(out_dir)


def check_folder(out_dir: str | Path) -> None:
    """Refuse a folder that `save_answer` must not replace or can't write, before there is an answer.

    Raises:
        GroundingError: it holds anything but an earlier answer, or is in no folder that may be written to.
    """
    target = Path(out_dir).resolve()
    problem = ""
    if os.path.lexists(target) and not target.is_dir():
        problem = f"{target} is in use: it holds {target.name}, which is no part of an answer."
    elif target.is_dir():
        # By every path, not by the names at the top: masks/ is what many call their own annotations.
        inside = (item.relative_to(target).as_posix() for item in target.rglob("*"))
        other = next((name for name in inside if not _CONTENTS.fullmatch(name)), None)
        if other is not None:
            problem = f"{target} is in use: it holds {other}, which is no part of an answer."
        elif any(target.iterdir()) and not _is_answer(target / "answer.json"):
            problem = f"{target} is in use: it holds no answer.json of `grounding ground`."
    if problem:
        raise GroundingError(problem, "Choose another folder.")
    place = next(parent for parent in target.parents if os.path.exists(parent))
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise GroundingError(
            f"{target} can't be written: {place} is no folder that you may write to.",
            "Choose a folder with room that is yours.",
        )


def _is_answer(file: Path) -> bool:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and {"video", "text", "spans", "tracks"} <= data.keys()


@contextmanager
def _folder(target: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``target`` if all goes well, and vanishes otherwise."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        check_folder(target)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
    except OSError as error:
        raise GroundingError(
            f"{target} can't be written: {error.strerror or error}.",
            "Choose a folder with room that is yours.",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check(video: Video, answer: GroundedText) -> None:
    for track in answer.tracks:
        if track.size != video.size or len(track) != len(video):
            raise GroundingError(
                f"Track {track.id} has {len(track)} frames of size {track.size}, but {video.source} has "
                f"{len(video)} of size {video.size}.",
                "Show an answer with the video that it is about.",
            )
