"""Mask tracks and their run-length codes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from grounding_core.errors import GroundingError
from grounding_core.masks import BoolMask, MaskTrack, counts_of, decode, encode, fits, unite

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
masks = sizes.flatmap(lambda size: hnp.arrays(bool, size))
videos = st.tuples(st.integers(1, 5), sizes).flatmap(lambda s: hnp.arrays(bool, (s[0], *s[1])))


@given(masks)
def test_codes_round_trip(mask: BoolMask) -> None:
    counts = encode(mask)
    assert (counts is None) == (not mask.any())
    assert np.array_equal(decode(counts, mask.shape), mask)


@given(masks, st.binary(max_size=12))
def test_codes_fit_the_masks_that_they_are_of(mask: BoolMask, other: bytes) -> None:
    counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    height, width = mask.shape
    assert fits(counts, (height, width))
    assert not fits(counts, (height, width + 1)) and not fits(counts + b"P", (height, width))
    fits(other, (height, width))


@given(masks)
def test_every_stored_form_gives_the_same_code(mask: BoolMask) -> None:
    size = list(mask.shape)
    compressed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    changes = np.flatnonzero(np.diff(np.concatenate([[False], mask.ravel(order="F")])))
    runs = np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()
    stored: list[bytes | str | list[int]] = [compressed, compressed.decode("ascii"), runs]
    for counts in stored:
        found = counts_of({"size": size, "counts": counts})
        assert np.array_equal(decode(found, mask.shape), mask)
    assert counts_of(None) is None


@given(videos)
def test_track_measures_match_its_masks(video: BoolMask) -> None:
    track = MaskTrack.from_masks(3, video)
    assert (track.id, len(track), track.size) == (3, len(video), video.shape[1:])
    assert np.array_equal(track.masks(), video)
    assert track.visible() == tuple(np.flatnonzero(video.any(axis=(1, 2))))
    assert track.areas() == {index: track.area(index) for index in track.visible()}
    assert track.boxes() == {index: track.box(index) for index in track.visible()}
    for index, mask in enumerate(video):
        assert track.area(index) == mask.sum()
        box = track.box(index)
        if box is None:
            assert not mask.any()
            continue
        x0, y0, x1, y1 = map(int, box)
        outside = mask.copy()
        outside[y0:y1, x0:x1] = False
        assert not outside.any()
        assert mask[y0].any() and mask[y1 - 1].any() and mask[:, x0].any() and mask[:, x1 - 1].any()


@given(st.tuples(st.integers(1, 4), st.integers(1, 4), sizes), st.data())
def test_union_is_the_union_of_the_pixels(
    shape: tuple[int, int, tuple[int, int]], data: st.DataObject
) -> None:
    tracks, frames, size = shape
    all_masks = data.draw(hnp.arrays(bool, (tracks, frames, *size)))
    united = unite([MaskTrack.from_masks(id, video) for id, video in enumerate(all_masks)], id=9)
    assert united.id == 9
    assert np.array_equal(united.masks(), all_masks.any(axis=0))


@pytest.mark.parametrize("values", [(1, 2), (255, 255), (100, 255), (256, 512), (-1, 1)])
def test_whole_numbers_are_inside_unless_0(values: tuple[int, int]) -> None:
    mask = np.zeros((4, 6), np.int32)
    mask[:2, 2:4], mask[2:, 2:4] = values
    for array in (mask, mask.astype(np.uint8), np.asfortranarray(mask)):
        assert np.array_equal(decode(encode(array), (4, 6)), array != 0)


@pytest.mark.parametrize("runs", [[12], [12, 0], [4, 0, 8]])
def test_codes_of_no_pixel_are_frames_in_which_nothing_is_seen(runs: list[int]) -> None:
    empty = counts_of({"size": [3, 4], "counts": runs})
    seen = encode(np.ones((3, 4), bool))
    track = MaskTrack(0, (3, 4), (empty, seen, None))
    assert track == MaskTrack(0, (3, 4), (None, seen, None))
    assert (track.visible(), track.areas(), track.box(0)) == ((1,), {1: 12}, None)


def test_long_tracks_are_measured_whole() -> None:
    masks = np.zeros((600, 3, 4), bool)
    masks[:, 1, 2] = True
    track = MaskTrack.from_masks(0, masks)
    assert track.areas() == dict.fromkeys(range(600), 1)
    assert track.boxes() == dict.fromkeys(range(600), (2.0, 1.0, 3.0, 2.0))


def test_masks_of_chosen_frames() -> None:
    video = np.zeros((3, 4, 5), bool)
    video[2, 1, 1] = True
    track = MaskTrack.from_masks(0, video)
    assert np.array_equal(track.masks([2, 0]), video[[2, 0]])
    assert track.masks([]).shape == (0, 4, 5)


def test_a_track_reads_an_iterator_once() -> None:
    assert len(MaskTrack.from_masks(0, (np.ones((2, 2), bool) for _ in range(7)))) == 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaskTrack.from_masks(4, []), "Track 4 has no frames"),
        (lambda: MaskTrack.from_masks(4, [[[1]], [[1, 0]]]), r"from \(1, 1\) to \(1, 2\)"),
        (lambda: MaskTrack.from_masks(4, [np.full((2, 2), 0.9)]), "whole numbers, got float64"),
        (lambda: MaskTrack.from_masks(4, [np.ones((2, 2, 1))]), r"\(2, 2, 1\)"),
        (lambda: MaskTrack(4, (0, 3), ()), r"size \(0, 3\)"),
        (lambda: MaskTrack(4, (2, 3), ("text",)), "holds str"),  # type: ignore[arg-type]
        (
            lambda: unite([MaskTrack(1, (2, 2), (None,)), MaskTrack(2, (2, 3), (None,))]),
            "Tracks 1 and 2 differ",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make: object, message: str) -> None:
    with pytest.raises(GroundingError, match=message):
        make()  # type: ignore[operator]
