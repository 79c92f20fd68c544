"""Tube sets under published frame samplings."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from official_layouts import FRAMES, hcstvg

from benchmarks.datasets.hcstvg import HCSTVG
from benchmarks.datasets.tubes import View, protocols, sampled
from benchmarks.datasets.vidstg import VidSTG
from grounding_core.errors import DataError, VideoError
from grounding_core.video import Video


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    hcstvg.write(tmp_path)
    HCSTVG(tmp_path).prepare("val")
    return tmp_path


def test_frames_are_sampled_as_tubedetr_does() -> None:
    assert sampled(0, 31, 30.0, protocols()["tubedetr"]) == (0, 6, 12, 18, 24, 30)
    assert sampled(7, 70, 30.0, protocols()["videoglamm"]) == (7, 30, 60)
    long = sampled(0, 3000, 30.0, protocols()["videoglamm"])
    assert len(long) == 40 and long[:4] == (0, 60, 150, 210)  # 100 frames, of which every 2.5th is kept


@given(st.integers(0, 500), st.integers(1, 2000), st.floats(1, 60), st.sampled_from(sorted(protocols())))
def test_sampled_frames_rise_and_stay_inside(start: int, length: int, fps: float, name: str) -> None:
    protocol = protocols()[name]
    frames = sampled(start, start + length, fps, protocol)
    assert frames[0] == start and frames[-1] < start + length and len(frames) <= protocol.frames
    assert list(frames) == sorted(set(frames))


def test_tubedetr_shows_all_frames_and_scores_the_sampled(official: Path) -> None:
    whole = VidSTG(official).samples("grounding", "test")[0]
    sample = VidSTG(official).samples("grounding", "test-tubedetr")[0]
    assert len(sample.open_video()) == len(whole.open_video()) == FRAMES - 1
    truth = sample.load_truth()
    assert truth.annotated == (0, 1, 2, 3, 4)[: len(truth.annotated or ())] and truth.annotated[0] == 0
    assert sample.video_id == whole.video_id
    assert (truth.interval, truth.boxes) == (whole.load_truth().interval, whole.load_truth().boxes)


def test_videoglamm_shows_the_sampled_frames_alone(official: Path) -> None:
    sample = VidSTG(official).samples("grounding", "test-videoglamm")[0]
    whole = VidSTG(official).samples("grounding", "test")[0]
    video, truth = sample.open_video(), sample.load_truth()
    # One frame a second of a moment of four frames at 6 a second.
    assert len(video) == 1 and truth.interval == (0, 1) and truth.annotated is None
    assert truth.boxes == {0: whole.load_truth().boxes[0]}
    assert np.array_equal(video.frames([0]), whole.open_video().frames([0]))
    assert sample.video_id != whole.video_id


def test_frames_that_a_file_lacks_are_its_last_again(official: Path) -> None:
    whole = Video.open(next((official / "vidstg/video").rglob("clip0.mp4")))
    shown = View(range(2, len(whole) + 2)).open(Path(whole.source), "nowhere")
    assert len(shown) == len(whole)
    wanted = [*range(2, len(whole)), len(whole) - 1, len(whole) - 1]
    assert np.array_equal(shown.frames(range(len(shown))), whole.frames(wanted))


def test_parts_of_a_recording_are_drawn_together(official: Path) -> None:
    """They are no independent evidence, under whatever view they are encoded."""
    for split in ("test", "test-videoglamm"):
        samples = VidSTG(official).samples("grounding", split)
        assert {sample.drawn_as for sample in samples} == {sample.id.partition("/")[0] for sample in samples}


def test_a_moment_between_sampled_frames_is_not_lost(clips: Path) -> None:
    sample = HCSTVG(clips).samples("grounding", "val-videoglamm-temporal")[0]
    truth = sample.load_truth()
    assert truth.interval is not None and len(truth.boxes) == truth.interval[1] - truth.interval[0] > 0
    assert len(sample.open_video()) >= truth.interval[1]


def test_videoglamm_asks_questions_about_hcstvg(clips: Path) -> None:
    sample = HCSTVG(clips).samples("grounding", "val-videoglamm")[0]
    assert (sample.query.kind, sample.query.text) == ("ask", "Who moves to the right?")
    assert sample.tags["qtype"] == "interrogative"
    (clips / "hcstvg/qa/1.json").unlink()
    with pytest.raises(DataError, match=r"qa/1\.json is missing"):
        HCSTVG(clips).samples("grounding", "val-videoglamm")
    assert len(HCSTVG(clips).samples("grounding", "val-tubedetr")) == 3


def test_an_unknown_sampling_is_refused(official: Path) -> None:
    with pytest.raises(DataError, match=r"no frame sampling 'best'.*tubedetr, videoglamm"):
        VidSTG(official).samples("grounding", "test-best")


def test_processed_annotations_are_found_where_others_write_them(official: Path, tmp_path: Path) -> None:
    target = tmp_path / "processed/vidstg/vidstg_annotations/test.json"
    target.parent.mkdir(parents=True)
    target.write_bytes((official / "vidstg/test.json").read_bytes())
    assert len(VidSTG(tmp_path).samples("grounding", "test")) == 6
    with pytest.raises(DataError, match=r"clip0\.mp4 is missing"):
        VidSTG(tmp_path).samples("grounding", "test")[0].open_video()


def test_boxes_that_do_not_fit_the_moment_are_named(clips: Path) -> None:
    path = clips / "hcstvg/anno_v2/val_v2_proc.json"
    path.write_text(path.read_text().replace('"tube_end_frame": 6', '"tube_end_frame": 9', 1))
    with pytest.raises(DataError, match=r"sentence 0_scene/0 is malformed: 4 boxes for the 7 frames"):
        HCSTVG(clips).samples("grounding", "val")[0].load_truth()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_picked_frames_are_those_frames(indices: list[int]) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (10, 4, 6, 3), dtype=np.uint8)
    video = Video.open(frames).pick(indices)
    assert np.array_equal(video.frames(range(len(video))), frames[indices])
    assert np.array_equal(np.stack([frame for _, frame in video.stream()]), frames[indices])
    with pytest.raises(VideoError, match="Can't pick frame 10"):
        Video.open(frames).pick([*indices, 10])
