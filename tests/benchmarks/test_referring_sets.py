"""Readers of Ref-YouTube-VOS, Ref-DAVIS17, ReVOS and ReasonVOS, on small data in their layouts."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from official_layouts import FRAMES, SIZE, box_mask
from official_layouts.revos import VIDEO

from benchmarks.datasets.mevis import MeViS
from benchmarks.datasets.reason_vos import ReasonVOS
from benchmarks.datasets.ref_davis import RefDAVIS17
from benchmarks.datasets.ref_youtube_vos import RefYouTubeVOS
from benchmarks.datasets.revos import ReVOS
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Dataset, Sample


def by_id(dataset: Dataset, split: str) -> dict[str, Sample]:
    samples = dataset.samples("refseg", split)
    assert [sample.id for sample in samples] == sorted(sample.id for sample in samples)
    return {sample.id: sample for sample in samples}


def assert_shows(sample: Sample, video: int, *things: int) -> None:
    """The one track of the sample's truth is the union of these things in every frame."""
    (track,) = sample.load_truth().tracks
    assert len(track) == FRAMES == len(sample.open_video())
    for frame in range(FRAMES):
        expected = np.any([box_mask(video, frame, thing) for thing in things], axis=0)
        assert np.array_equal(track.mask(frame), expected)


def test_youtube_vos_finds_objects_by_their_palette_index(official: Path) -> None:
    samples = by_id(RefYouTubeVOS(official), "train")
    assert_shows(samples["clip0/0"], 0, 0)
    assert_shows(samples["clip0/1"], 0, 1)
    assert list(samples["clip0/0"].frame_names)[:3] == ["00000", "00005", "00010"]


def test_youtube_vos_names_an_object_that_no_mask_shows(official: Path) -> None:
    with pytest.raises(DataError, match=r"expression clip1/1 names object 3"):
        by_id(RefYouTubeVOS(official), "train")["clip1/1"].load_truth()


def test_youtube_vos_takes_test_videos_out_of_valid(official: Path) -> None:
    valid = by_id(RefYouTubeVOS(official), "valid")
    assert list(valid) == ["clip2/0", "clip2/1"]
    assert len(valid["clip2/0"].open_video()) == FRAMES
    assert list(by_id(RefYouTubeVOS(official), "test")) == ["clip3/0", "clip3/1"]


@pytest.mark.parametrize("split", ["valid", "test"])
def test_youtube_vos_says_that_masks_are_not_public(official: Path, split: str) -> None:
    sample = next(iter(by_id(RefYouTubeVOS(official), split).values()))
    with pytest.raises(DataError, match=rf"no masks for its split {split}\. Score train, or hand"):
        sample.load_truth()


def test_davis_orders_expressions_by_object_and_annotator(official: Path) -> None:
    samples = by_id(RefDAVIS17(official), "valid")
    assert len(samples) == 2 * 2 * 4
    for place in range(8):
        sample = samples[f"blackswan/{place}"]
        assert_shows(sample, 1, place // 4)
        assert sample.tags["sequence"] == "blackswan"
        assert sample.tags["object"] == str(place // 4 + 1)
    assert samples["bear/1"].tags["annotator"] == samples["bear/5"].tags["annotator"] == "annot1_full_video"


def test_davis_void_pixels_are_ignored_and_belong_to_no_object(official: Path) -> None:
    samples = by_id(RefDAVIS17(official), "valid")
    ignored = samples["bear/0"].load_truth().ignored
    assert ignored is not None
    void = np.zeros(SIZE, bool)
    void[0] = True
    assert np.array_equal(ignored.mask(3), void)
    assert samples["blackswan/0"].load_truth().ignored is None


def test_davis_works_from_the_order_alone_and_wants_four_expressions_an_object(
    official: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    path = root / "refer_davis/2017/meta_expressions/valid/meta_expressions.json"
    content = json.loads(path.read_text())
    expressions = content["videos"]["bear"]["expressions"]
    for expression in expressions.values():
        del expression["obj_id"]
    path.write_text(json.dumps(content))
    assert by_id(RefDAVIS17(root), "valid")["bear/7"].tags["object"] == "2"
    del expressions["7"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="video bear is malformed: object 2 has 3 expressions, not 4"):
        RefDAVIS17(root).samples("refseg", "valid")


def test_revos_types_questions_and_foreground(official: Path) -> None:
    samples = by_id(ReVOS(official), "valid")
    assert_shows(samples[f"{VIDEO}/1"], 0, 0)
    assert_shows(samples[f"{VIDEO}/2"], 0, 0, 1)
    assert [sample.tags["type"] for sample in samples.values()] == [
        "referring", "reasoning", "referring", "nonexistent",
    ]  # fmt: skip
    assert [sample.query.kind for sample in samples.values()] == ["refer", "ask", "refer", "refer"]
    foreground = samples[f"{VIDEO}/0"].load_truth().foreground
    assert foreground is not None
    assert np.array_equal(foreground.mask(2), box_mask(0, 2, 0) | box_mask(0, 2, 1))


def test_revos_truth_of_what_does_not_exist_is_never_visible(official: Path) -> None:
    (track,) = by_id(ReVOS(official), "valid")[f"{VIDEO}/3"].load_truth().tracks
    assert track.visible() == () and (track.size, len(track)) == (SIZE, FRAMES)


def test_reason_vos_reads_lists_and_scores_frames_with_masks_only(official: Path) -> None:
    samples = by_id(ReasonVOS(official), "test")
    assert list(samples)[:3] == ["BURST_a_street_0/0", "BURST_a_street_0/1", "BURST_a_street_1/0"]
    truth = samples["BURST_a_street_1/0"].load_truth()
    assert truth.annotated == (0, 2, 4)
    assert truth.tracks[0].visible() == (0, 2, 4)
    assert np.array_equal(truth.tracks[0].mask(2), box_mask(0, 2, 1))
    assert_shows(samples["MeViS_clip1_0/1"], 1, 0)
    assert samples["MeViS_clip1_0/1"].load_truth().annotated is None
    assert samples["BURST_a_street_0/0"].query.kind == "ask"
    assert samples["BURST_a_street_0/0"].tags == {"source": "BURST", "form": "sentence"}


@pytest.mark.parametrize(
    ("reader", "split", "removed", "told"),
    [
        (RefYouTubeVOS, "valid", "refer_youtube_vos/meta_expressions/test", "test/meta_expressions.json is"),
        (RefYouTubeVOS, "train", "refer_youtube_vos/train/Annotations", "clip0/00000.png is missing"),
        (RefDAVIS17, "valid", "refer_davis/2017/valid/Annotations", "bear/00000.png is missing"),
        (ReVOS, "valid", "ReVOS/mask_dict.json", "mask_dict.json is missing"),
        (ReVOS, "valid", "ReVOS/mask_dict_foreground.json", "mask_dict_foreground.json is missing"),
        (ReasonVOS, "test", "ReasonVOS/Annotations", "BURST_a_street_0 is missing"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_its_source(
    reader: type[Dataset], split: str, removed: str, told: str, official: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    path = root / removed
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError) as caught:
        reader(root).samples("refseg", split)[0].load_truth()
    assert told in caught.value.problem and "https://" in caught.value.remedy


def test_a_colour_picture_is_no_label_image(official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    home = root / "refer_davis/2017/valid"
    shutil.copy(home / "JPEGImages/bear/00002.jpg", home / "Annotations/bear/00002.png")
    with pytest.raises(DataError, match=r"bear/00002\.png can't be read: its pixels are RGB"):
        by_id(RefDAVIS17(root), "valid")["bear/0"].load_truth()


@pytest.mark.parametrize(
    ("reader", "split"),
    [
        (MeViS, "valid_u"),
        (RefYouTubeVOS, "train"),
        (RefDAVIS17, "valid"),
        (ReVOS, "valid"),
        (ReasonVOS, "test"),
    ],
)
def test_samples_travel_to_other_processes(reader: type[Dataset], split: str, official: Path) -> None:
    sample = reader(official).samples("refseg", split)[0]
    assert pickle.loads(pickle.dumps(sample)).load_truth() == sample.load_truth()
