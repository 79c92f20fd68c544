"""Overlay videos, contact sheets and answer folders, read back from disk."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from PIL import Image

from grounding_core.drawing import PALETTE, draw_tracks, ink_on, resized, track_color
from grounding_core.errors import GroundingError, VideoError
from grounding_core.masks import MaskTrack
from grounding_core.render import contact_sheet, save_answer, stack_sheets, write_overlay
from grounding_core.serial import from_json
from grounding_core.types import GroundedText, Span
from grounding_core.video import Video


def _grey(count: int, height: int, width: int) -> Video:
    return Video.open(np.full((count, height, width, 3), 128, np.uint8))


def _answer(video: Video, ids: tuple[int, ...] = (0,)) -> GroundedText:
    """Tracks side by side, each a box in the middle half of its column, hidden in the first frame."""
    height, width = video.size
    tracks = []
    for place, id in enumerate(ids):
        masks = np.zeros((len(video), height, width), bool)
        left = place * width // len(ids)
        share = width // len(ids)
        masks[1:, height // 4 : -(-height * 3 // 4), left + share // 4 : left + -(-share * 3 // 4)] = True
        tracks.append(MaskTrack.from_masks(id, masks))
    return GroundedText("A red cat sleeps.", (Span(0, 9, ids),), tuple(tracks))


def test_overlay_shows_the_track_in_its_colour_where_it_is_visible(tmp_path: Path) -> None:
    video = _grey(4, 256, 256)
    write_overlay(video, _answer(video, (5,)), tmp_path / "overlay.mp4")
    shown = Video.open(tmp_path / "overlay.mp4").frames(range(4)).astype(int)
    tinted = 0.6 * 128 + 0.4 * np.asarray(PALETTE[5])
    assert np.abs(shown[0] - 128).max() < 8
    assert np.abs(shown[2, 128, 128] - tinted).max() < 12
    assert np.abs(shown[2, 20, 20] - 128).max() < 8


@pytest.mark.parametrize("side", [1, 2, 3, 8])
@pytest.mark.parametrize("corner", [(0, 0), (500, 900), (-8, -8)])
def test_the_smallest_object_is_seen_in_the_smallest_picture(side: int, corner: tuple[int, int]) -> None:
    mask = np.zeros((1080, 1920), bool)
    top, left = (place % whole for place, whole in zip(corner, mask.shape, strict=True))
    mask[top : top + side, left : left + side] = True
    small = resized(mask, (14, 24))
    assert small.sum() == 1 and small[top * 14 // 1080, left * 24 // 1920]
    drawn = draw_tracks(np.zeros((*mask.shape, 3), np.uint8), [MaskTrack.from_masks(0, [mask])], 0, (14, 24))
    assert np.asarray(drawn).any()
    assert not resized(np.zeros_like(mask), (14, 24)).any()


def test_overlay_keeps_the_videos_times(tmp_path: Path) -> None:
    times = [0, 40, 200, 230, 900, 1500]
    video = Video.open(clips.make_clip(tmp_path / "varied.mp4", count=6, times_ms=times))
    write_overlay(video, _answer(video), tmp_path / "overlay.mp4")
    assert Video.open(tmp_path / "overlay.mp4").timestamps == pytest.approx(
        np.asarray(times) / 1000, abs=1e-3
    )


@pytest.mark.parametrize(
    ("turned", "shown"), [(False, Fraction(2)), (True, Fraction(1, 2))], ids=["upright", "turned"]
)
def test_overlay_keeps_the_proportions_of_pixels(tmp_path: Path, turned: bool, shown: Fraction) -> None:
    path = clips.make_clip(tmp_path / "wide.mp4", count=3, options={"aspect": "2"})
    video = Video.open(clips.turn(path) if turned else path)
    part = video.clip(0, 2).pick([1, 0])
    assert part.pixel_aspect == shown
    write_overlay(part, _answer(part), tmp_path / "overlay.mp4")
    assert Video.open(tmp_path / "overlay.mp4").pixel_aspect == shown


def test_overlay_of_a_frame_picked_twice(tmp_path: Path) -> None:
    video = _grey(4, 256, 256).pick([1, 1])
    assert video.fps == 25
    write_overlay(video, _answer(video), tmp_path / "overlay.mp4")
    assert len(Video.open(tmp_path / "overlay.mp4")) == 2


@pytest.mark.parametrize(
    ("size", "written"),
    [
        ((4, 4), (256, 256)),
        ((301, 333), (302, 334)),
        ((3, 400), (4, 400)),
        ((100, 75), (300, 226)),
        ((101, 20_000), (84, 16_384)),
        ((16_385, 2), (16_384, 2)),
    ],
)
def test_overlay_is_playable_at_any_size(
    tmp_path: Path, size: tuple[int, int], written: tuple[int, int]
) -> None:
    video = _grey(2, *size)
    write_overlay(video, _answer(video), tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.height, stream.width) == written
        assert len(list(container.decode(stream))) == 2


def test_many_frames_at_one_time_are_still_written(tmp_path: Path) -> None:
    video = Video.open(np.zeros((5, 16, 16, 3), np.uint8), fps=1e7)
    write_overlay(video, GroundedText(""), tmp_path / "overlay.mp4")
    assert len(Video.open(tmp_path / "overlay.mp4")) == 5


def test_sheet_shows_frames_and_phrases() -> None:
    video = _grey(30, 48, 64)
    sheet = np.asarray(contact_sheet(video, _answer(video, (0, 1)), title="the red cat"))
    assert sheet.shape[1] > 1200 and sheet.shape[2] == 3
    plain = np.asarray(contact_sheet(video, GroundedText("A red cat sleeps."), title="the red cat"))
    assert sheet.shape == plain.shape
    for color in PALETTE[:2]:
        assert (sheet == color).all(axis=-1).sum() > 500 > (plain == color).all(axis=-1).sum()
    # The last rows are words, the phrase on a tint of its first track's colour.
    words = sheet[-80:]
    assert (words == (244, 212, 140)).all(axis=-1).sum() > 500


@pytest.mark.parametrize(("count", "frames"), [(1, 8), (2, 8), (3, 2), (9, 9)])
def test_sheet_of_any_number_of_frames(count: int, frames: int) -> None:
    video = _grey(count, 4, 4)
    sheet = contact_sheet(video, GroundedText("word " * 400 + "\n" * 50 + "x" * 10_000), frames=frames)
    greys = (np.asarray(sheet) == 128).all(axis=-1).sum()
    side = {1: 720, 2: 560, 3: 420}[min(3, count, frames)]
    assert greys == min(count, frames) * side * side
    with pytest.raises(VideoError):
        contact_sheet(video, GroundedText(""), frames=0)


def test_sheets_stack_without_loss() -> None:
    sheets = [Image.new("RGB", (30, 10), (255, 0, 0)), Image.new("RGB", (20, 40), (0, 255, 0))]
    page = np.asarray(stack_sheets(sheets))
    assert page.shape == (50, 30, 3)
    assert (page[:10] == (255, 0, 0)).all() and (page[10:, :20] == (0, 255, 0)).all()
    assert (page[10:, 20:] == 255).all()


def test_saved_answer_is_complete(tmp_path: Path) -> None:
    video = Video.open(clips.make_clip(tmp_path / "clip.mp4", count=5))
    answer = _answer(video, (3, 8))
    folder = save_answer(answer, video, tmp_path / "out" / "answer")
    assert sorted(item.name for item in folder.iterdir()) == [
        "answer.json",
        "masks",
        "overlay.mp4",
        "sheet.png",
    ]
    record = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    assert from_json(record) == answer
    assert record["video"] == {"source": video.source, "frames": 5, "size": [48, 64], "fps": 25.0}
    for track in answer.tracks:
        for index in range(5):
            with Image.open(folder / "masks" / str(track.id) / f"{index:05d}.png") as mask:
                assert np.array_equal(np.asarray(mask) == 255, track.mask(index))
    assert len(Video.open(folder / "overlay.mp4")) == 5


def test_saving_again_replaces_the_earlier_answer(tmp_path: Path) -> None:
    video = _grey(2, 16, 16)
    save_answer(_answer(video, (0, 1)), video, tmp_path / "answer")
    save_answer(GroundedText("Nothing."), video, tmp_path / "answer")
    assert json.loads((tmp_path / "answer" / "answer.json").read_text())["text"] == "Nothing."
    assert not (tmp_path / "answer" / "masks").exists()
    assert [item.name for item in tmp_path.iterdir()] == ["answer"]


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for index in range(3):
        Image.fromarray(clips.picture(index)).save(frames / f"{index}.png")
    video = Video.open(frames)
    (frames / "1.png").write_bytes(b"damaged")
    with pytest.raises(VideoError, match=r"1\.png"):
        save_answer(GroundedText("A cat."), video, tmp_path / "answer")
    with pytest.raises(VideoError, match=r"1\.png"):
        write_overlay(video, GroundedText("A cat."), tmp_path / "overlay.mp4")
    assert [item.name for item in tmp_path.iterdir()] == ["frames"]


def test_other_peoples_files_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(GroundingError, match=r"thesis\.tex"):
        save_answer(GroundedText(""), _grey(1, 8, 8), tmp_path)
    with pytest.raises(GroundingError, match=r"thesis\.tex"):
        save_answer(GroundedText(""), _grey(1, 8, 8), tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    "mine",
    [
        ("masks/dog/00000.png", "masks/notes.csv"),
        ("masks/0/00000.png",),
        ("answer.json",),
        ("answer.json", "masks/0/00000.png"),
    ],
)
def test_files_that_only_look_like_an_answer_are_not_replaced(tmp_path: Path, mine: tuple[str, ...]) -> None:
    for name in mine:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(GroundingError, match="is in use"):
        save_answer(GroundedText(""), _grey(1, 8, 8), tmp_path)
    assert all((tmp_path / name).is_file() for name in mine)


def test_what_was_put_among_an_answers_masks_is_not_replaced(tmp_path: Path) -> None:
    video = _grey(2, 16, 16)
    folder = save_answer(_answer(video), video, tmp_path / "answer")
    (folder / "masks" / "0" / "mine.png").touch()
    with pytest.raises(GroundingError, match=r"masks/0/mine\.png"):
        save_answer(_answer(video), video, folder)
    assert (folder / "masks" / "0" / "mine.png").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GroundingError, match=r"file.answer can't be written"):
        save_answer(GroundedText(""), _grey(1, 8, 8), tmp_path / "file" / "answer")


def test_an_answer_about_another_video_is_refused(tmp_path: Path) -> None:
    answer = _answer(_grey(3, 16, 16))
    for video in (_grey(4, 16, 16), _grey(3, 16, 20)):
        for show in (
            lambda video=video: write_overlay(video, answer, tmp_path / "overlay.mp4"),
            lambda video=video: contact_sheet(video, answer),
            lambda video=video: save_answer(answer, video, tmp_path / "answer"),
        ):
            with pytest.raises(GroundingError, match="Track 0 has 3 frames"):
                show()


def test_colours_are_distinct_and_readable() -> None:
    assert len(set(PALETTE)) == len(PALETTE) == 7
    assert track_color(0) == track_color(7) != track_color(1)
    for color in PALETTE:
        contrast = sorted(
            0.2126 * (c[0] / 255) ** 2.2 + 0.7152 * (c[1] / 255) ** 2.2 + 0.0722 * (c[2] / 255) ** 2.2
            for c in (color, ink_on(color))
        )
        assert (contrast[1] + 0.05) / (contrast[0] + 0.05) > 3.5
