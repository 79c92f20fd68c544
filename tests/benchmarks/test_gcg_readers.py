"""Readers of grounded captions, on small data with the oddities of the published files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from official_layouts import FRAMES, VIDEOS, box_mask

from benchmarks.datasets.activitynet_gcg import ActivityNetGCG
from benchmarks.datasets.markup import parse
from benchmarks.datasets.mevis_gcg import MeViSGCG
from benchmarks.datasets.tube_gcg import VidSTGGCG
from benchmarks.datasets.video_gcg import VideoGCG
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Truth

WORDS = st.text("abc d", min_size=1, max_size=6)
IDS = st.lists(st.integers(0, 120), min_size=1, max_size=4, unique=True)


def phrases(truth: Truth) -> list[tuple[str, tuple[int, ...]]]:
    assert truth.caption is not None
    return [(truth.caption.phrase(span), span.tracks) for span in truth.caption.spans]


@given(st.lists(st.tuples(WORDS, WORDS, IDS), max_size=5), st.sampled_from([",", ", ", " , "]))
def test_marked_captions_are_read_back(pieces: list[tuple[str, str, list[int]]], comma: str) -> None:
    marked = "".join(f"{text}[{phrase}]({comma.join(map(str, ids))})" for text, phrase, ids in pieces)
    caption = parse(marked)
    assert caption.text == "".join(text + phrase for text, phrase, _ in pieces)
    found = [(caption.text[span.start : span.end], list(span.tracks)) for span in caption.spans]
    assert found == [(phrase, ids) for _, phrase, ids in pieces]


def test_brackets_without_ids_are_words_and_names_are_no_ids() -> None:
    assert parse("He [sic] said (so) [a](1).").text == "He [sic] said (so) a."
    with pytest.raises(ValueError, match="'a cat' names 'the cat', not object ids"):
        parse("[a cat](the cat)")


def test_video_gcg_reads_every_oddity(official: Path) -> None:
    samples = VideoGCG(official).samples("gcg", "test")
    # The fourth video has no caption.
    assert [sample.id for sample in samples] == [f"set/clip{video}#{video}" for video in range(VIDEOS)]
    assert [sample.tags["source"] for sample in samples] == ["YFCC100M", "yt19", "burst"]
    for video, sample in enumerate(samples):
        assert len(sample.open_video()) == FRAMES
        truth = sample.load_truth()
        # Position -1 names no word, the one beyond the masks neither.
        assert phrases(truth) == [("bright box", (2 * video,)), ("square", (2 * video + 1,))]
        for thing, track in enumerate(truth.tracks):
            assert np.array_equal(track.mask(3), box_mask(video, 3, thing)) and len(track) == FRAMES


def test_video_gcg_names_where_frames_belong(official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    shutil.rmtree(root / "ytvis")
    parts = {part.path for part in VideoGCG(root).parts("test")}
    assert parts == {
        "video_gcg/instruction_data/test.json",
        "burst/frames/val",
        "ytvis/vos/train/JPEGImages",
    }
    sample = VideoGCG(root).samples("gcg", "test")[1]
    with pytest.raises(DataError, match=r"frames of set/clip1 are missing.*ytvis/vos/train/JPEGImages"):
        sample.open_video()


def test_mevis_gcg_takes_masks_by_object(official: Path) -> None:
    first, second = MeViSGCG(official).samples("gcg", "valid_u")
    assert (first.id, first.query.kind, len(first.open_video())) == ("clip0", "describe", FRAMES)
    truth = first.load_truth()
    assert phrases(truth) == [("box that moves", (0,)), ("another one", (1,)), ("both boxes", (0, 1))]
    assert truth.caption is not None and truth.caption.text.endswith("both boxes stay [sic] in view.")
    assert phrases(second.load_truth()) == [("Two boxes", (1, 0))]
    by_id = {track.id: track for track in second.load_truth().tracks}
    assert np.array_equal(by_id[1].mask(4), box_mask(1, 4, 1))


@pytest.mark.parametrize(
    ("caption", "message"),
    [("a [box](5)", "clip0.json: the caption lacks 5"), ("a [box](it)", "names 'it', not object ids")],
)
def test_a_caption_that_names_nothing_there_is_named(
    official: Path, tmp_path: Path, caption: str, message: str
) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    (root / "mevis_gcg/valid_u/clip0.json").write_text(json.dumps({"caption": caption}))
    with pytest.raises(DataError, match=message):
        MeViSGCG(root).samples("gcg", "valid_u")[0].load_truth()


def test_mevis_gcg_without_its_video_in_mevis(official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    (root / "mevis_gcg/valid_u/lost.json").write_text('{"caption": ""}')
    with pytest.raises(DataError, match=r"meta_expressions\.json: video lost, .* lacks 'lost'"):
        MeViSGCG(root).samples("gcg", "valid_u")


def test_tube_gcg_unites_objects_or_takes_the_first(official: Path) -> None:
    first, second = VidSTGGCG(official).samples("gcg", "val")
    assert (first.id, len(first.open_video())) == ("900", FRAMES)
    assert phrases(first.load_truth()) == [("bright box", (3,)), ("dim box", (12,))]
    truth = second.load_truth()
    assert phrases(truth) == [("two boxes", (12, 3))]
    by_id = {track.id: track for track in truth.tracks}
    assert np.array_equal(by_id[12].mask(2), box_mask(1, 2, 1))
    theirs = VidSTGGCG(official).samples("gcg", "val-videoglamm")[1].load_truth()
    assert phrases(theirs) == [("two boxes", (12,))] and len(theirs.tracks) == 1


def test_tube_gcg_names_what_is_missing(official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    (root / "vidstg_gcg/val/900/masks/003/000015.png").unlink()
    samples = VidSTGGCG(root).samples("gcg", "val")
    with pytest.raises(
        DataError, match=r"masks/003/000015\.png is missing.*grounding data prepare vidstg-gcg"
    ):
        samples[0].load_truth()
    (root / "vidstg_gcg/val/901/masks/012/000012.png").write_text("no picture")
    with pytest.raises(DataError, match=r"012/000012\.png can't be read"):
        samples[1].load_truth()
    shutil.rmtree(root / "vidstg_gcg/val")
    with pytest.raises(DataError, match=r"900/frames is missing.*grounding data prepare vidstg-gcg"):
        samples[0].open_video()


def test_activitynet_gcg_annotates_one_frame(official: Path) -> None:
    (sample,) = ActivityNetGCG(official).samples("gcg", "train")
    assert (sample.id, len(sample.open_video())) == ("v_ab__c____4", FRAMES)
    truth = sample.load_truth()
    assert truth.annotated == (3,)
    assert phrases(truth) == [("A red box", (1,)), ("square", (0,)), ("It", (1,))]
    assert truth.caption is not None and truth.caption.text == "A red box passes a square. It moves on."
    by_id = {track.id: track for track in truth.tracks}
    assert np.array_equal(by_id[1].mask(3), box_mask(0, 3, 0)) and by_id[1].visible() == (3,)


def test_activitynet_gcg_boxes_must_share_a_frame(official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    path = root / "activitynet_entities_gcg/anns/v_ab__c____4.json"
    content = json.loads(path.read_text())
    content["seg_token_to_obj"]["[SEG:1]"]["frame_id"] = 5
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"boxes in different frames: \[3, 5\]"):
        ActivityNetGCG(root).samples("gcg", "train")[0].load_truth()
    path.rename(path.with_name("segment.json"))
    with pytest.raises(DataError, match="is not named <video>____<segment>"):
        ActivityNetGCG(root).samples("gcg", "train")
