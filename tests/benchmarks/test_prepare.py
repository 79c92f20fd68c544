"""`grounding data prepare` on data as its publishers give it: annotations, and boxes to masks."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from official_layouts import FRAMES, VIDEOS, box_mask, hcstvg, vidstg
from typer.testing import CliRunner

from benchmarks.datasets.hcstvg import HCSTVG
from benchmarks.datasets.tube_gcg import HCSTVGGCG, VidSTGGCG
from benchmarks.datasets.vidstg import VidSTG
from grounding_core.cli import app
from grounding_core.errors import DataError


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """VidSTG and HC-STVG as they are downloaded."""
    vidstg.write(tmp_path)
    (tmp_path / "vidstg/test.json").unlink()
    vidstg.write_raw(tmp_path)
    vidstg.write_captions(tmp_path)
    hcstvg.write(tmp_path)
    hcstvg.write_captions(tmp_path)
    return tmp_path


def prepare(root: Path, name: str, *options: str) -> str:
    result = CliRunner().invoke(app, ["data", "prepare", name, "--data-root", str(root), *options])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_vidstg_annotations_are_read_as_the_processed_ones(raw: Path, tmp_path_factory) -> None:
    assert "ready" in prepare(raw, "vidstg")
    samples = VidSTG(raw).samples("grounding", "test")
    assert len(samples) == 2 * VIDEOS + 1
    processed = tmp_path_factory.mktemp("processed")
    vidstg.write(processed)
    given = VidSTG(processed).samples("grounding", "test")
    # TubeDETR numbers questions before statements.
    ours = {(sample.video_id, sample.query): sample for sample in samples}
    for sample in given:
        truth, expected = ours[sample.video_id, sample.query].load_truth(), sample.load_truth()
        assert (truth.boxes, truth.interval) == (expected.boxes, expected.interval)
    below = next(sample for sample in samples if sample.query.text == "the dim box is below")
    assert below.load_truth().interval == (1, 3)
    assert len(below.load_truth().others[0]) == FRAMES - 1


def test_an_interrupted_vidstg_goes_on(raw: Path) -> None:
    stop = raw / "vidstg/vidor_annotations/validation/a/clip2.json"
    kept = stop.read_text()
    stop.write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        prepare(raw, "vidstg")
    assert not (raw / "vidstg/test.json").exists()
    stop.write_text(kept)
    # What was read before is not read again.
    (raw / "vidstg/vidor_annotations/validation/a/clip0.json").write_text("{")
    prepare(raw, "vidstg")
    assert len(VidSTG(raw).samples("grounding", "test")) == 2 * VIDEOS + 1
    assert [path.name for path in (raw / "vidstg").glob(".*")] == []


def test_hcstvg_frames_count_from_zero(raw: Path) -> None:
    prepare(raw, "hcstvg")
    entries = json.loads((raw / "hcstvg/anno_v2/val_v2_proc.json").read_text())
    assert (entries[0]["width"], entries[0]["height"]) == (64, 48)
    assert (entries[0]["tube_start_frame"], entries[0]["tube_end_frame"]) == (2, 6)
    assert entries[1]["video_path"] == "1/1_scene.mp4"
    sample = HCSTVG(raw).samples("grounding", "val")[1]
    truth = sample.load_truth()
    assert truth.interval == (1, 5) and sorted(truth.boxes) == [1, 2, 3, 4]
    x, y, _, _ = truth.boxes[3]
    assert sample.open_video().frames([3])[0, int(y) + 7, int(x) + 7, 0] > 150
    assert (sample.query.kind, sample.tags["qtype"]) == ("locate", "declarative")


def test_what_differs_between_videos_and_annotations_is_listed(raw: Path, caplog) -> None:
    path = raw / "hcstvg/anno_v2/val_v2.json"
    content = json.loads(path.read_text())
    content["2_scene.mp4"]["img_num"] = 99
    content["1_scene.mp4"]["img_size"] = [64, 48]
    path.write_text(json.dumps(content))
    prepare(raw, "hcstvg")
    faults = (raw / "hcstvg/anno_v2/val_v2_proc.faults.txt").read_text()
    assert "2_scene.mp4 has 6 frames, its annotations 99" in faults and "1_scene.mp4 has frames of" in faults
    assert "2 videos differ" in caplog.text


@pytest.mark.parametrize(
    ("name", "lost", "message"),
    [
        ("hcstvg", "hcstvg/Video/1", r"1_scene\.mp4 of .* is not below .*hcstvg/Video\. Get it from https"),
        ("hcstvg", "hcstvg/anno_v2/val_v2.json", r"val_v2\.json is missing"),
        ("vidstg", "vidstg/vidor_annotations", r"vidor_annotations/validation is missing"),
        ("vidstg", "vidstg/vidor_annotations/validation/a/clip1.json", r"lacks the video clip1"),
        ("vidstg-gcg", "vidstg_gcg", r"vidstg_gcg/test_captions is missing"),
    ],
)
def test_what_is_missing_is_named(raw: Path, name: str, lost: str, message: str) -> None:
    gone = raw / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    split = ("--split", "test") if name == "vidstg-gcg" else ()
    with pytest.raises(DataError, match=message):
        prepare(raw, name, *split)


def test_boxes_become_masks_without_a_decoder(raw: Path) -> None:
    prepare(raw, "vidstg-gcg", "--split", "test", "--decoder", "box")
    sample = VidSTGGCG(raw).samples("gcg", "test")[0]
    truth = sample.load_truth()
    # The moment [1, 5) and, as VideoGLaMM has it, the frame after it.
    assert len(sample.open_video()) == 5 == len(truth.tracks[0])
    names = [path.name for path in sorted((raw / "vidstg_gcg/test/clip0/masks/007").iterdir())]
    assert names[0] == "000001.png" and names[-1] == "000005.png"
    moving = next(track for track in truth.tracks if track.id == 7)
    for place in range(5):
        assert np.array_equal(moving.mask(place), box_mask(0, place + 1, 0))


def test_hcstvg_boxes_become_masks(raw: Path) -> None:
    prepare(raw, "hcstvg")
    prepare(raw, "hcstvg-gcg", "--split", "val", "--decoder", "box")
    sample = HCSTVGGCG(raw).samples("gcg", "val")[2]
    (track,) = sample.load_truth().tracks
    assert len(track) == len(sample.open_video()) == 4
    assert np.array_equal(track.mask(2), box_mask(2, 3, 0))


def test_masks_of_two_decoders_are_not_mixed(raw: Path) -> None:
    with pytest.raises(DataError, match=r"none is named.*--decoder"):
        prepare(raw, "vidstg-gcg", "--split", "test")
    prepare(raw, "vidstg-gcg", "--split", "test", "--decoder", "box")
    with pytest.raises(DataError, match="was begun with the decoder 'box'"):
        prepare(raw, "vidstg-gcg", "--split", "test", "--decoder", "{type: sam2, mode: framewise}")


def test_what_can_not_be_made_is_told_at_the_end_and_made_later(raw: Path) -> None:
    caption = raw / "vidstg_gcg/test_captions/clip0.json"
    kept = caption.read_text()
    caption.write_text(json.dumps({"caption": "A [box](55)."}))
    with pytest.raises(DataError, match=r"1 of 2 videos .* clip0: .*it has no object 55"):
        prepare(raw, "vidstg-gcg", "--split", "test", "--decoder", "box")
    made = raw / "vidstg_gcg/test/clip1/frames/000001.png"
    before = made.stat().st_mtime_ns
    caption.write_text(kept)
    # A process that was killed leaves half a video, which is not taken for a whole one.
    half = raw / "vidstg_gcg/test/.clip0.partial/frames/stale.png"
    half.parent.mkdir(parents=True)
    half.write_bytes(made.read_bytes())
    prepare(raw, "vidstg-gcg", "--split", "test", "--decoder", "box")
    assert made.stat().st_mtime_ns == before
    assert len(list((raw / "vidstg_gcg/test/clip0/frames").iterdir())) == 5 and not half.exists()


TINY = (
    "{type: sam2, mode: framewise, image_size: 128, trunk_width: 32, trunk_heads: 1, stages: [1, 1, 2, 1], "
    "windows: [8, 4, 8, 4], global_blocks: [3], width: 128, mlp_width: 256, memory_layers: 1, init_std: 0.05}"
)


def test_boxes_become_masks_through_a_decoder(raw: Path) -> None:
    pytest.importorskip("grounding_videoglamm")
    prepare(raw, "vidstg-gcg", "--split", "test", "--decoder", TINY)
    for sample in VidSTGGCG(raw).samples("gcg", "test"):
        truth = sample.load_truth()
        assert {track.id for track in truth.tracks} == {2, 7}
        assert {(track.size, len(track)) for track in truth.tracks} == {((48, 64), 5)}


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        ("{type: sam2}", r"mask_decoder\.mode"),
        ("{type: nothing}", "no mask decoder 'nothing'"),
        ("{type: sam2", "not valid YAML"),
    ],
)
def test_a_wrong_decoder_is_refused(raw: Path, decoder: str, message: str) -> None:
    pytest.importorskip("grounding_videoglamm")
    with pytest.raises(Exception, match=message):
        prepare(raw, "vidstg-gcg", "--split", "test", "--decoder", decoder)
