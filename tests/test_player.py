"""Films and layers for the player, and answers that display themselves."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import clips
import numpy as np
import pytest
from PIL import Image

from grounding_core import GroundedText, MaskTrack, Span, Video
from grounding_core.errors import GroundingError
from grounding_core.masks import decode
from grounding_core.player.embed import phrases
from grounding_core.player.film import blank, film, layer


def square(count: int = 10, height: int = 64, width: int = 96) -> np.ndarray:
    """A box that moves right; not there in the first two frames."""
    masks = np.zeros((count, height, width), bool)
    for index in range(2, count):
        masks[index, 20:40, 4 * index : 4 * index + 20] = True
    return masks


def said(video: Video | None = None) -> GroundedText:
    track = MaskTrack.from_masks(4, square())
    return GroundedText("It is <a box>.", (Span(6, 13, (4,)),), (track,), video=video)


def test_film_keeps_size_times_and_content() -> None:
    frames = np.full((10, 64, 96, 3), 40, np.uint8)
    frames[5:] = 200
    shown = film(Video.open(frames, fps=5), frames=4, longest=48)
    assert (shown.size, shown.source, shown.length) == ((32, 48), (64, 96), 10)
    assert shown.frames == (0, 3, 6, 9) and shown.times == (0.0, 0.6, 1.2, 1.8)
    assert shown.seconds == pytest.approx(2.0)
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in shown.pictures]
    assert [picture.shape for picture in pictures] == [(32, 48, 3)] * 4
    assert abs(pictures[1].mean() - 40) < 4 and abs(pictures[2].mean() - 200) < 4


@pytest.mark.parametrize(
    ("frames", "must", "chosen"),
    [(3, (4,), (0, 4, 9)), (2, (1, 3, 5, 7), (1, 7)), (50, (), tuple(range(10))), (3, (99,), (0, 4, 9))],
)
def test_frames_that_must_be_shown_are(frames: int, must: tuple[int, ...], chosen: tuple[int, ...]) -> None:
    video = Video.open(np.zeros((10, 8, 8, 3), np.uint8))
    assert film(video, frames=frames, longest=8, must=must).frames == chosen


def test_layer_holds_the_masks_of_the_films_frames_at_its_size() -> None:
    shown = blank((64, 96), 10, frames=4, longest=48)
    (track,) = layer(shown, "answer", said())["tracks"]
    assert track["seen"] == [[2, 10]] and track["masks"][0] is None
    small = decode(track["masks"][2].encode(), (32, 48))
    rows, columns = np.nonzero(small)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 19, 12, 21)


def test_boxes_follow_the_scale_and_misfits_are_refused() -> None:
    shown = blank((64, 96), 10, frames=10, longest=48)
    assert layer(shown, "", GroundedText(""), boxes={3: (2, 4, 6, 8)})["boxes"][3] == [1, 2, 3, 4]
    with pytest.raises(GroundingError, match="10 frames"):
        layer(blank((64, 96), 9, frames=9, longest=48), "", said())


def test_an_answer_displays_itself_with_and_without_its_video(tmp_path: Path) -> None:
    video = Video.open(clips.make_clip(tmp_path / "clip.mp4", count=10, size=(64, 96)))
    html = said(video)._repr_html_()
    assert "&lt;a box&gt;" in html and "Grounding.mount" in html
    assert html.count("<script>") == html.count("</script>") == 1, "nothing in it ends the script early"
    assert '"pictures":["UklGR' in html, "pictures are WebP"
    assert '"pictures":[]' in said()._repr_html_()
    assert "<script" not in GroundedText("I see nothing.")._repr_html_()


def test_phrases_need_no_script() -> None:
    assert phrases(said()) == (
        'It is <b style="border-bottom:3px solid rgb(204,121,167)">&lt;a box&gt;</b><sup>4</sup>.'
    )
