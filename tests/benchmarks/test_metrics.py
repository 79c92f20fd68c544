"""What the metrics must do where the official evaluators are wrong or silent."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from benchmarks.metrics import gcg, grounding, refseg, revos
from benchmarks.perf.jf import blob, official_scores
from benchmarks.stats import estimate, ratio
from benchmarks.tasks.gcg import GroundedCaptions
from benchmarks.tasks.grounding import Grounding
from benchmarks.tasks.refseg import ReferringSegmentation
from grounding_core.errors import GroundingError
from grounding_core.interfaces.dataset import Truth
from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText, Span


def slow_f(truth: np.ndarray, found: np.ndarray) -> float:
    """F by its definition: dilate whole boundary maps with a disk."""
    radius = int(refseg.tolerance(truth.shape))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = x * x + y * y <= radius * radius
    a, b = refseg.boundary_map(truth), refseg.boundary_map(found)
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    precision = (b & binary_dilation(a, disk)).sum() / b.sum()
    recall = (a & binary_dilation(b, disk)).sum() / a.sum()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 300), st.integers(2, 400), st.floats(0.0, 1.0))
def test_f_equals_its_definition(seed: int, height: int, width: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    pair = []
    for _ in range(2):
        mask = np.zeros((height, width), dtype=bool)
        top, left = rng.integers(0, height), rng.integers(0, width)
        mask[top : top + rng.integers(1, height), left : left + rng.integers(1, width)] = True
        pair.append(mask ^ (rng.random((height, width)) < density * 0.02))
    assert refseg.frame_scores(*pair)[1] == pytest.approx(slow_f(*pair), abs=1e-12)


@pytest.mark.parametrize("size", [(48, 85), (120, 64), (97, 131)])
def test_the_official_algorithm_gives_the_same(size: tuple[int, int]) -> None:
    official = official_scores(pytest.importorskip("cv2", reason="the official algorithm needs OpenCV"))
    rng = np.random.default_rng(0)
    for share in (0.2, 0.45, 0.9):
        pair = blob(size, share, rng), blob(size, share / 2, rng)
        np.testing.assert_allclose(refseg.frame_scores(*pair), official(*pair), atol=1e-12)
        columns = np.asfortranarray(pair[0]), np.asfortranarray(pair[1])
        assert refseg.frame_scores(*columns) == refseg.frame_scores(*pair)


def test_decay_has_no_limit_of_256_frames() -> None:
    values = np.linspace(1, 0, 1000)
    mean, recall, decay = refseg.statistics(values)
    assert (mean, recall) == pytest.approx((0.5, 0.5))
    assert decay == pytest.approx(0.75, abs=0.01)


def track(*frames: np.ndarray, id: int = 0) -> MaskTrack:
    return MaskTrack.from_masks(id, frames)


def square(left: int) -> np.ndarray:
    mask = np.zeros((20, 30), dtype=bool)
    mask[4:14, left : left + 10] = True
    return mask


EMPTY = np.zeros((20, 30), dtype=bool)


def test_a_moment_of_one_frame_can_be_right() -> None:
    truth = Truth(boxes={2: (5.0, 4.0, 15.0, 14.0)}, interval=(2, 3))
    exact = GroundedText("a", (), (track(EMPTY, EMPTY, square(5), EMPTY),))
    counts = Grounding(Path()).judge(exact, truth).counts
    assert counts["viou"] == counts["tiou"] == counts["gt_viou"] == (1.0, 1.0)
    assert counts["viou_official"] == counts["tiou_official"] == (0.0, 1.0)


def test_all_objects_of_an_answer_count() -> None:
    truth = Truth(boxes={0: (5.0, 4.0, 25.0, 14.0)}, interval=(0, 1))
    answer = GroundedText("a", (), (track(square(5), id=0), track(square(15), id=1)))
    assert Grounding(Path()).judge(answer, truth).counts["viou"] == (1.0, 1.0)


def test_a_written_moment_is_scored_beside_the_visible_one() -> None:
    truth = Truth(boxes={t: (5.0, 4.0, 15.0, 14.0) for t in (1, 2)}, interval=(1, 3))
    frames = (square(5), square(5), square(5), EMPTY)
    counts = (
        Grounding(Path())
        .judge(GroundedText("It is there. frames:(1,2)", (), (track(*frames),)), truth)
        .counts
    )
    assert counts["tiou"] == (pytest.approx(2 / 3), 1.0)
    assert counts["tiou_text"] == counts["viou_text"] == counts["written"] == (1.0, 1.0)
    assert counts["tiou_text_official"] == (1.0, 1.0)
    silent = Grounding(Path()).judge(GroundedText("It is there.", (), (track(*frames),)), truth).counts
    assert silent["tiou"] == counts["tiou"]
    assert silent["tiou_text"] == silent["written"] == (0.0, 1.0)
    assert silent["tiou_text_official"] == (0.0, 0.0), "left out, as upstream drops the sample"


def test_a_written_moment_counts_the_frames_that_the_model_saw() -> None:
    truth = Truth(boxes={t: (5.0, 4.0, 15.0, 14.0) for t in range(4, 8)}, interval=(4, 8))
    frames = [square(5)] * 10
    answer = GroundedText("frames:(2,3)", (), (track(*frames),), {"sampled_frames": [0, 2, 4, 6, 8]})
    assert Grounding(Path()).judge(answer, truth).counts["tiou_text"] == (1.0, 1.0)
    far = GroundedText("frames:(4,999999999999)", (), (track(*frames),), {"sampled_frames": [0, 2, 4, 6, 8]})
    assert Grounding(Path()).judge(far, truth).counts["tiou_text"] == (0.0, 1.0)
    reversed_ = GroundedText("frames:(9,3)", (), (track(*frames),))
    assert Grounding(Path()).judge(reversed_, truth).counts["viou_text"] == (0.0, 1.0)


def test_raw_eight_bit_images_wrap_as_in_the_revos_script() -> None:
    truth, found, every = (np.array([[v]], np.uint8) for v in (0, 255, 1))
    assert revos.robustness_official(truth, found, every) == 0.0
    assert revos.robustness_official(np.array([[2]], np.uint8), np.array([[1]], np.uint8), every) == 0.0
    assert revos.robustness_official(np.array([[1]], np.uint8), np.array([[1]], np.uint8), every) == 1.0


def test_captions_are_read_as_in_the_reference() -> None:
    text, phrases = gcg.read_markup_official("ASSISTANT: <p> a cat </p>[SEG] sits\n.")
    assert (text, phrases) == ("a cat sits.", ["a cat"])


def test_a_miss_counts_as_wrong_and_officially_not_at_all() -> None:
    truth = Truth(boxes={0: (5.0, 4.0, 25.0, 14.0)}, interval=(0, 1))
    counts = Grounding(Path()).judge(None, truth).counts
    assert counts["viou"] == (0.0, 1.0)
    assert counts["viou_official"] == (0.0, 0.0)


def test_refseg_takes_all_tracks_together_and_scores_absence() -> None:
    task = ReferringSegmentation(Path())
    truth = Truth(tracks=(track(square(2) | square(15), EMPTY),))
    both = GroundedText("a", (), (track(square(2), EMPTY, id=0), track(square(15), EMPTY, id=1)))
    assert task.judge(both, truth).counts["jf"] == (1.0, 1.0)
    silent = GroundedText("nothing")
    assert task.judge(silent, truth).counts["j"] == (0.5, 1.0)
    only_first = Truth(tracks=truth.tracks, annotated=(0,))
    assert task.judge(silent, only_first).counts["j"] == (0.0, 1.0)


def test_masks_of_another_size_are_refused() -> None:
    truth = Truth(tracks=(track(square(2)),))
    answer = GroundedText("a", (), (track(square(2), square(2)),))
    with pytest.raises(GroundingError, match="2 frames"):
        ReferringSegmentation(Path()).judge(answer, truth)


def test_corrected_miou_charges_for_what_is_unmatched() -> None:
    assert gcg.miou_corrected([[1.0, 0.0], [0.0, 0.0]]) == pytest.approx(1 / 3)
    assert gcg.miou_official([[1.0, 0.0], [0.0, 0.0]]) == 1.0
    assert gcg.miou_corrected(np.zeros((0, 2))) == 0.0
    assert gcg.miou_corrected(np.zeros((0, 0))) == 1.0
    assert gcg.miou_corrected([[float("nan")]]) == 1.0


def test_corrected_recall_goes_on_after_a_pair_that_fails() -> None:
    ious, words = np.array([[0.9, 0.0], [0.0, 0.8]]), np.array([[0.1, 0.1], [0.1, 0.9]])
    assert gcg.matches_official(ious, words) == []
    assert gcg.matches_corrected(ious, words) == [(1, 1)]


def test_gcg_judges_phrases_with_the_union_of_their_tracks() -> None:
    tracks = (track(square(2), id=0), track(square(15), id=1))
    caption = GroundedText("two red cats", (Span(0, 12, (0, 1)),), tracks)
    truth = Truth(tracks=tracks, caption=caption)
    answer = GroundedText("the red cats", (Span(4, 12, (7,)),), (track(square(2) | square(15), id=7),))
    counts = GroundedCaptions(Path()).judge(answer, truth).counts
    assert counts["miou"] == counts["recall"] == (1.0, 1.0)
    assert GroundedCaptions(Path()).judge(None, truth).counts["recall"] == (0.0, 1.0)


def test_intervals_resample_videos_not_samples() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.random(20), 10)
    counts = np.stack([values, np.ones_like(values)], axis=1)
    by_video = estimate(counts, [str(i // 10) for i in range(200)])
    by_sample = estimate(counts, [str(i) for i in range(200)])
    assert by_video.value == by_sample.value == pytest.approx(values.mean())
    assert by_video.low < by_video.value < by_video.high
    assert by_video.high - by_video.low > 2 * (by_sample.high - by_sample.low)
    assert np.isnan(estimate(counts[:3], ["a"] * 3).low)
    assert np.isnan(ratio(np.zeros((1, 2)))).all()


def test_box_overlap_without_area() -> None:
    assert grounding.box_iou((1, 1, 1, 5), (1, 1, 1, 5)) == 0.0
    assert grounding.box_iou((0, 0, 2, 2), (5, 5, 6, 6)) == 0.0
