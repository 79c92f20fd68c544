"""Readers of image sets, on small data in their layouts."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from official_layouts import SIZE, box_mask
from official_layouts.refcoco import IMAGE

from benchmarks.datasets.grandf import GranDf
from benchmarks.datasets.plain_pickle import read_plain_pickle
from benchmarks.datasets.reason_seg import ReasonSeg
from benchmarks.datasets.refcoco import RefCOCO, RefCOCOg, RefCOCOPlus
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Sample
from grounding_core.markup import render

REFS = "refer_seg/refcoco/refs(unc).p"


def refs(root: Path, split: str, reader: type[RefCOCO] = RefCOCO) -> dict[str, Sample]:
    return {sample.id: sample for sample in reader(root).samples("refseg", split)}


def rectangle(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_refcoco_has_a_sample_a_sentence_with_words(official: Path) -> None:
    samples = refs(official, "train")
    assert list(samples) == ["7/10", "7/11"]
    sample = samples["7/11"]
    assert (sample.query.text, sample.query.kind, sample.video_id) == ("the thing called 1", "refer", IMAGE)
    video = sample.open_video()
    assert len(video) == 1 and video.size == SIZE
    (track,) = sample.load_truth().tracks
    assert np.array_equal(track.mask(0), rectangle(0, 32, 48, 64))


def test_refcoco_test_splits_overlap_as_in_the_official_interface(official: Path) -> None:
    assert list(refs(official, "testA")) == ["7/20", "7/21", "7/30", "7/31"]
    assert list(refs(official, "testB")) == ["7/30", "7/31"]
    assert list(refs(official, "testB", RefCOCOPlus)) == ["7/30", "7/31"]
    assert list(refs(official, "test", RefCOCOg)) == ["7/20", "7/21"]


def test_refcoco_masks_are_polygons_rles_or_nothing(official: Path) -> None:
    tested = refs(official, "testA")
    (union,) = tested["7/20"].load_truth().tracks
    assert np.array_equal(union.mask(0), rectangle(0, 32, 48, 64) | rectangle(0, 0, 6, 8))
    (coded,) = tested["7/30"].load_truth().tracks
    assert np.array_equal(coded.mask(0), box_mask(0, 0, 0))
    (nothing,) = refs(official, "val")["7/40"].load_truth().tracks
    assert nothing.visible() == () and nothing.size == SIZE


def test_refcoco_reads_json_in_place_of_the_pickle(official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    path = root / REFS
    path.with_suffix(".json").write_text(json.dumps(pickle.loads(path.read_bytes())))
    path.unlink()
    assert list(refs(root, "train")) == ["7/10", "7/11"]
    assert RefCOCO(root).parts("train")[0].path == "refer_seg/refcoco/refs(unc).json"


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_wants_to_run_something_is_refused(
    protocol: int, official: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    mark = tmp_path / "it-ran"
    (root / REFS).write_bytes(pickle.dumps([Hostile(mark)], protocol=protocol))
    with pytest.raises(DataError, match=r"refs\(unc\)\.p can't be read as plain values: it names .*\.system"):
        refs(root, "train")
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"(lp0\n", b"no pickle at all", b"\x80\x04\x95\xff\xff"])
def test_a_damaged_pickle_is_named(content: bytes, official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    (root / REFS).write_bytes(content)
    with pytest.raises(DataError, match=r"refs\(unc\)\.p can't be read"):
        refs(root, "train")


def test_reason_seg_paints_small_over_large_and_keeps_ignored_apart(official: Path) -> None:
    nested, *phrases = ReasonSeg(official).samples("refseg", "val")
    assert (nested.id, nested.query.kind, nested.tags) == ("1_a/0", "ask", {"form": "sentence"})
    truth = nested.load_truth()
    hole = rectangle(12, 12, 15, 15)
    target = (rectangle(4, 4, 24, 24) | rectangle(30, 30, 32, 32)) & ~hole
    assert np.array_equal(truth.tracks[0].mask(0), target)
    assert truth.ignored is not None and np.array_equal(truth.ignored.mask(0), hole)
    assert [sample.query.text for sample in phrases] == ["the café’s box", "the box"]
    assert phrases[0].query.kind == "refer"
    assert phrases[0].load_truth().ignored is None


@pytest.mark.parametrize("source", ["human", "openpsg"])
def test_grandf_offsets_count_in_the_caption_without_quotes(source: str, official: Path) -> None:
    (sample,) = GranDf(official).samples("gcg", f"train-{source}")
    truth = sample.load_truth()
    assert truth.caption is not None
    assert render(truth.caption) == "<p>A</p> [SEG] <p>two boxes</p> [SEG]."
    by_phrase = {truth.caption.phrase(span): span.tracks for span in truth.caption.spans}
    (both,) = by_phrase["two boxes"]
    assert np.array_equal(truth.tracks[both].mask(0), box_mask(0, 0, 0) | box_mask(0, 0, 1))
    assert len(sample.open_video()) == 1


def test_grandf_flickr_objects_of_one_phrase_are_one_span(official: Path) -> None:
    (sample,) = GranDf(official).samples("gcg", "train-flickr")
    truth = sample.load_truth()
    assert truth.caption is not None
    assert render(truth.caption) == "<p>Two boxes</p> [SEG] [SEG] meet."
    assert [track.box(0) for track in truth.tracks] == [(4, 6, 18, 20), (40, 28, 56, 42)]


def test_grandf_refcocog_phrases_are_found_and_kept_apart(official: Path) -> None:
    (sample,) = GranDf(official).samples("gcg", "train-refcocog")
    caption = sample.load_truth().caption
    assert caption is not None
    assert render(caption) == "there is <p>a bright</p> [SEG] <p>box on the right</p> [SEG]."


def test_grandf_train_is_all_sources(official: Path) -> None:
    samples = GranDf(official).samples("gcg", "train")
    assert [sample.id for sample in samples] == [
        "flickr/000000", "human/000001", "openpsg/000000", "refcocog/000000",
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"no split 'train-flick'.*Did you mean 'train-flickr'"):
        GranDf(official).samples("gcg", "train-flick")


def test_phrases_that_leave_the_caption_are_named(official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    path = root / "grandf_dataset/GranD-f/train/OpenPsgGCG_train.json"
    content = json.loads(path.read_text())
    content[0]["groundings"]["A"]["token_positives"] = [0, 99]
    path.write_text(json.dumps(content))
    (sample,) = GranDf(root).samples("gcg", "train-openpsg")
    with pytest.raises(DataError, match=r"OpenPsgGCG_train\.json: image train2017/a\.jpg .* \[0:99\]"):
        sample.load_truth()


def test_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    """The published files hold text as bytes, and long numbers."""
    path = tmp_path / "refs.p"
    path.write_bytes(b"(lp0\n(dp1\nS'sent'\np2\nS'a man'\np3\nsS'ref_id'\np4\nL7L\nsa.")
    assert read_plain_pickle(path, "https://example.org") == [{"sent": "a man", "ref_id": 7}]
