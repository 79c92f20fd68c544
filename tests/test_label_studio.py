"""Label Studio's formats: what its own converter writes is read, and so is what we write."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grounding_core.label_studio import boxes_of, brush, from_rle, rectangles, to_rle
from grounding_core.masks import MaskTrack

SQUARE = np.zeros((6, 5), dtype=bool)
SQUARE[1:3, 1:4] = SQUARE[4, 4] = True


def test_brushes_of_its_own_converter_are_read() -> None:
    """Bytes that ``encode_rle`` of label-studio-sdk 2.1.2 wrote, of a white brush and of a red one."""
    white = [0, 0, 0, 120, 57, 27, 254, 23, 0, 183, 255, 56, 5, 191, 252, 78, 1, 31, 254, 19, 0, 0]
    assert (from_rle(white, (6, 5)) == SQUARE).all()
    red = [0, 0, 0, 24, 57, 27, 252, 96, 0, 127, 128, 120, 0, 160]
    red += [16, 22, 192, 0, 255, 0, 240, 1, 64, 63, 192]
    assert np.argwhere(from_rle(red, (2, 3))).tolist() == [[0, 1], [1, 2]], "opaque, whatever the colour"


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.floats(0, 1))
def test_brushes_are_read_back(height: int, width: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    assert (from_rle(to_rle(mask), mask.shape) == mask).all()


def test_runs_longer_than_a_length_can_say() -> None:
    mask = np.zeros((300, 400), dtype=bool)
    mask[50:] = True
    assert (from_rle(to_rle(mask), mask.shape) == mask).all() and len(to_rle(mask)) < 50


def test_bytes_that_do_not_fit_are_refused() -> None:
    whole = to_rle(SQUARE)
    with pytest.raises(ValueError, match="120 values"):
        from_rle(whole, (5, 5))
    with pytest.raises(ValueError, match="end too soon"):
        from_rle(whole[:10], (6, 5))


def test_a_brush_is_the_documented_result() -> None:
    made = brush(SQUARE, id="a", label="dog")
    assert made["type"] == "brushlabels" and (made["original_width"], made["original_height"]) == (5, 6)
    assert made["value"]["format"] == "rle" and made["value"]["brushlabels"] == ["dog"]


def test_rectangles_between_key_frames_move_evenly_and_end() -> None:
    keys = [
        {"frame": 1, "x": 0, "y": 0, "width": 50, "height": 10, "rotation": 0, "enabled": True},
        {"frame": 3, "x": 20, "y": 0, "width": 50, "height": 10, "rotation": 0, "enabled": False},
        {"frame": 6, "x": 50, "y": 50, "width": 50, "height": 50, "rotation": 0, "enabled": True},
    ]
    found = boxes_of({"sequence": keys, "framesCount": 8}, (10, 20), 8)
    assert sorted(found) == [0, 1, 2, 5, 6, 7]
    assert found[1] == pytest.approx((2, 0, 12, 1)) and found[7] == pytest.approx((10, 5, 20, 10))
    with pytest.raises(KeyError):
        boxes_of({"sequence": [{"frame": 1}]}, (10, 20), 8)


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_a_track_comes_back_with_its_boxes(seen: list[bool]) -> None:
    masks = np.zeros((len(seen), 8, 9), dtype=bool)
    for index, visible in enumerate(seen):
        masks[index, 1:4, index % 6 : index % 6 + 3] = visible
    track = MaskTrack.from_masks(0, masks)
    made = rectangles(track, fps=5.0, label="cat")["value"]
    found = boxes_of(made, track.size, len(track))
    assert {frame: pytest.approx(box) for frame, box in found.items()} == track.boxes()
    assert made["labels"] == ["cat"]
