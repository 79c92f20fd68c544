"""The readers of official layouts, on small data written in them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from official_layouts import FRAMES, SIZE, VIDEOS, box_mask, write_mp4

from benchmarks.datasets.mevis import MeViS
from benchmarks.datasets.video_gcg import VideoGCG
from benchmarks.datasets.vidstg import VidSTG
from grounding_core.errors import DataError


def test_mevis_unites_the_objects_of_an_expression(official: Path) -> None:
    samples = MeViS(official).samples("refseg", "valid_u")
    assert [sample.id for sample in samples] == sorted(
        f"clip{v}/{e}" for v in range(VIDEOS) for e in range(3)
    )
    both = next(sample for sample in samples if sample.id == "clip1/2")
    assert both.query.text == "both boxes" and both.query.kind == "refer"
    (track,) = both.load_truth().tracks
    assert len(track) == FRAMES == len(both.open_video())
    assert np.array_equal(track.mask(2), box_mask(1, 2, 0) | box_mask(1, 2, 1))
    assert samples[0].tags == {"objects": "1", "kind": "motion"}


def test_mevis_objects_may_come_late_or_never(official: Path) -> None:
    samples = {sample.id: sample for sample in MeViS(official).samples("refseg", "train")}
    assert list(samples) == ["clip0/0", "clip0/10", "clip0/2"]
    (late,) = samples["clip0/10"].load_truth().tracks
    assert late.visible() == (3, 4, 5)
    (never,) = samples["clip0/2"].load_truth().tracks
    assert never.visible() == () and never.size == SIZE
    (everything,) = samples["clip0/0"].load_truth().tracks
    assert np.array_equal(everything.mask(1), box_mask(0, 1, 0))
    assert np.array_equal(everything.mask(4), box_mask(0, 4, 0) | box_mask(0, 4, 1))


def test_mevis_prefers_the_video_file(official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    frames = np.full((FRAMES, 48, 64, 3), 200, np.uint8)
    write_mp4(root / "mevis/valid_u/JPEGImages/clip0.mp4", frames)
    video = MeViS(root).samples("refseg", "valid_u")[0].open_video()
    assert video.source.endswith("clip0.mp4")
    assert video.frames([0]).mean() > 150


def test_vidstg_counts_frames_from_the_start_of_its_clip(official: Path) -> None:
    samples = VidSTG(official).samples("grounding", "test")
    assert [sample.query.kind for sample in samples[:2]] == ["locate", "ask"]
    truth = samples[0].load_truth()
    assert truth.interval == (0, 4)
    assert truth.boxes[0] == (10.0, 6.0, 24.0, 20.0)
    assert sorted(truth.boxes) == [0, 1, 2, 3]
    assert len(samples[0].open_video()) == FRAMES - 1


def test_video_gcg_joins_neighbouring_words_of_one_object(official: Path) -> None:
    sample = VideoGCG(official).samples("gcg", "test")[0]
    caption = sample.load_truth().caption
    assert caption is not None
    assert [(caption.phrase(span), span.tracks) for span in caption.spans] == [
        ("bright box", (0,)),
        ("square", (1,)),
    ]
    assert sample.query.kind == "describe"
    assert len(sample.open_video()) == FRAMES


def test_video_gcg_mask_ids_may_be_the_videos_own_numbers(official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    path = root / "video_gcg/instruction_data/test.json"
    content = json.loads(path.read_text())
    content["videos"][2]["dense_cap"]["mask_id"] = [0, 0, 1]
    path.write_text(json.dumps(content))
    caption = VideoGCG(root).samples("gcg", "test")[2].load_truth().caption
    assert caption is not None
    assert [span.tracks for span in caption.spans] == [(4,), (5,)]


@pytest.mark.parametrize(
    ("reader", "task", "split", "missing"),
    [
        (MeViS, "refseg", "valid_u", "mevis/valid_u/meta_expressions.json"),
        (VidSTG, "grounding", "test", "vidstg/test.json"),
        (VideoGCG, "gcg", "test", "video_gcg/instruction_data/test.json"),
    ],
)
def test_a_missing_file_is_named_with_its_source(reader, task, split, missing, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is missing\. Get it from https://") as caught:
        reader(tmp_path).samples(task, split)
    assert missing in str(caught.value)


def test_malformed_entries_are_named(official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    path = root / "vidstg/test.json"
    content = json.loads(path.read_text())
    del content["videos"][3]["tube_end_frame"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"sentence 3 lacks 'tube_end_frame'"):
        VidSTG(root).samples("grounding", "test")
    path.write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        VidSTG(root).samples("grounding", "test")


def test_mask_list_of_wrong_length_is_named(official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    path = root / "mevis/valid_u/mask_dict.json"
    masks = json.loads(path.read_text())
    masks["0"] = masks["0"][:-1]
    path.write_text(json.dumps(masks))
    with pytest.raises(DataError, match=r"expression clip0/0 is malformed: 5 masks for 6 frames"):
        MeViS(root).samples("refseg", "valid_u")[0].load_truth()


def test_missing_frames_and_unpublished_masks_are_told(official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    (root / "mevis/valid_u/JPEGImages/clip0/00003.jpg").unlink()
    with pytest.raises(DataError, match=r"00003\.jpg"):
        MeViS(root).samples("refseg", "valid_u")[0].open_video()
    (sample,) = MeViS(root).samples("refseg", "valid")
    assert sample.tags == {} and len(sample.open_video()) == FRAMES
    with pytest.raises(DataError, match="publishes no masks"):
        sample.load_truth()
