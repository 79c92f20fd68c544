"""Export and import: the same answers score the same, and hostile files are refused."""

import io
import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Harness
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from benchmarks.datasets.ref_davis import RefDAVIS17
from benchmarks.datasets.ref_youtube_vos import RefYouTubeVOS
from benchmarks.score import app as score
from benchmarks.submission.__main__ import app
from benchmarks.submission.archives import opened
from benchmarks.submission.layouts import LAYOUTS
from benchmarks.submission.read import _picture
from grounding_core.errors import DataError
from grounding_core.masks import MaskTrack, encode, runs_of
from grounding_core.serial import to_json
from grounding_core.types import GroundedText

SET = ("--dataset", "mevis:valid_u")


def call(*arguments: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(part) for part in arguments])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def result(folder: Path) -> Any:
    done = CliRunner().invoke(score, [str(folder)])
    assert done.exit_code == 0, done.output
    (found,) = json.loads((folder / "report.json").read_text())["results"]
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, official: Path) -> Path:
    """A run whose answers are neither all right nor all wrong; one sample failed."""
    harness = Harness(tmp_path_factory.mktemp("run"))
    out = harness.folder / "out"
    ran = harness.run(
        "--recipe", harness.recipe, "--data-root", official, "--tasks", "refseg",
        "--datasets", "mevis:valid_u", "--out", out, TOY_FAILS_ON="dim",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return out


@pytest.mark.parametrize(
    ("format", "name", "first"),
    [
        ("mevis", "mevis.zip", "clip0/0/00000.png"),
        ("ref-youtube-vos", "ytvos.zip", "Annotations/clip0/0/00000.png"),
        ("coco-rle", "masks.json", None),
        ("jsonl", "answers.jsonl", None),
    ],
)
def test_what_was_exported_scores_the_same_without_the_model(
    run: Path, official: Path, tmp_path: Path, format: str, name: str, first: str | None
) -> None:
    file, out = tmp_path / name, tmp_path / "imported"
    assert "6 of 9 samples written" in call("export", run, "--format", format, "--out", file)
    if first is not None:
        with zipfile.ZipFile(file) as archive:
            assert first in archive.namelist() and len(archive.namelist()) == 6 * 6
    options = ("--name", "Outside", *SET, "--data-root", official, "--out", out)
    assert "6 of 9 samples imported" in call("import", file, "--format", format, *options)
    theirs, ours = result(out), result(run)
    assert theirs["predictors"]["model"] == ours["predictors"]["model"]
    assert list(theirs["predictors"]) == ["model"]
    assert theirs["failures"][0] == {"id": "clip0/1", "error": "not in the submission"}
    assert "Outside" in (out / "report.md").read_text()


def test_davis_trees_hold_all_objects_of_a_video(run: Path, official: Path, tmp_path: Path) -> None:
    tree, out = tmp_path / "tree", tmp_path / "imported"
    call("export", run, "--format", "davis", "--out", tree)
    with Image.open(tree / "clip0" / "00000.png") as picture:
        assert picture.mode == "P" and picture.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
        # Expression 0 is drawn; expression 2's mask is the same, so nothing is left for it.
        assert set(np.unique(np.asarray(picture))) == {0, 1}
    call("import", tree, "--format", "davis", "--name", "X", *SET, "--data-root", official, "--out", out)
    by_id = {sample: place for place, sample in enumerate(["clip0/0", "clip1/0", "clip2/0"])}
    scores = [
        json.loads((folder / "scores" / "refseg.mevis.valid_u.json").read_text())
        for folder in (run, out)
        if result(folder)
    ]
    for sample in by_id:
        ours, theirs = (found["predictors"]["model"]["jf"][found["ids"].index(sample)] for found in scores)
        assert ours == theirs and ours[0] > 0.9


def test_a_folder_is_read_like_its_zip(run: Path, official: Path, tmp_path: Path) -> None:
    file, folder = tmp_path / "a.zip", tmp_path / "a"
    call("export", run, "--format", "mevis", "--out", file)
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    (folder / "clip0/0/00003.png").unlink()
    Image.new("L", (640, 480)).save(folder / "clip1/0/00000.png")
    (folder / "clip2/0/00000.png").write_bytes(b"\x89PNG rubbish")
    out = tmp_path / "out"
    options = ("--name", "X", *SET, "--data-root", official, "--out", out)
    assert "3 of 9 samples imported" in call("import", folder, "--format", "mevis", *options)
    errors = {f["id"]: f["error"] for f in result(out)["failures"]}
    assert "1 of 6 pictures are missing, e.g. clip0/0/00003.png" in errors["clip0/0"]
    assert "640x480, its video 64x48" in errors["clip1/0"]
    assert "no readable PNG" in errors["clip2/0"]


def pack(path: Path, *entries: tuple[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


@pytest.mark.parametrize(
    ("entries", "mode", "problem"),
    [
        ([("../../evil.png", b"x")], 0, "a path outside"),
        ([("/etc/evil.png", b"x")], 0, "a path outside"),
        ([("C:/evil.png", b"x")], 0, "a path outside"),
        ([("a\\..\\evil.png", b"x")], 0, "a path outside"),
        ([("clip0/0/00000.png", b"/etc/passwd")], stat.S_IFLNK | 0o777, "a link"),
        ([("bomb.png", bytes(66 << 20))], 0, "times its size"),
    ],
)
def test_hostile_archives_are_refused(
    official: Path, tmp_path: Path, entries: list[tuple[str, bytes]], mode: int, problem: str
) -> None:
    file = pack(tmp_path / "evil.zip", *entries, mode=mode)
    out = tmp_path / "out"
    options = ("--name", "X", *SET, "--data-root", official, "--out", out)
    assert problem in call("import", file, "--format", "mevis", *options, code=2)
    assert not out.exists()


def test_an_entry_that_lies_about_its_size_is_not_unpacked(tmp_path: Path) -> None:
    file = pack(tmp_path / "a.zip", ("a.png", bytes(70 << 20)))
    content = bytearray(file.read_bytes())
    place = content.rfind(b"PK\x01\x02")
    content[place + 24 : place + 28] = (100).to_bytes(4, "little")
    file.write_bytes(bytes(content))
    with opened(file) as archive, pytest.raises(DataError):
        archive.read("a.png")


def test_a_folder_with_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match="is a link"), opened(tmp_path / "a"):
        pass


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not coco-rle"),
        ('[{"name": "clip0/0"}]', "Every entry has an id"),
        ('[{"id": "elsewhere", "segmentations": []}]', "none of the 9 samples; it holds 'elsewhere'"),
    ],
)
def test_json_that_does_not_fit_is_refused(
    official: Path, tmp_path: Path, content: str, problem: str
) -> None:
    file = tmp_path / "a.json"
    file.write_text(content)
    options = ("--name", "X", *SET, "--data-root", official, "--out", tmp_path / "out")
    assert problem in call("import", file, "--format", "coco-rle", *options, code=2)


def test_a_file_of_nothing_leaves_an_import_as_it_was(run: Path, official: Path, tmp_path: Path) -> None:
    file, empty, out = tmp_path / "a.jsonl", tmp_path / "empty.jsonl", tmp_path / "out"
    call("export", run, "--format", "jsonl", "--out", file)
    options = (*SET, "--data-root", official, "--out", out, "--format", "jsonl")
    call("import", file, "--name", "good", *options)
    before = (out / "run.json").read_text()
    empty.write_text("")
    assert "none of the 9 samples" in call("import", empty, "--name", "EMPTY", *options, code=2)
    assert (out / "run.json").read_text() == before
    assert result(out)["predictors"]["model"]["errors"] == 3


def test_codes_that_do_not_fill_their_frame_are_misses(official: Path, tmp_path: Path) -> None:
    whole = encode(np.ones((48, 64), bool)).decode()
    wrong = {
        "clip0/0": [{"size": [48, 64], "counts": ""}] * 6,
        "clip0/1": [{"size": [480, 640], "counts": whole}] * 6,
        "clip0/2": [{"size": [48, 64], "counts": "zzzzzzzzzzzz"}] * 6,
        "clip1/0": [None] * 5,
        "clip1/1": [{"size": [48, 64], "counts": [-5, 48 * 64 + 5]}] * 6,
        "clip1/2": [{"size": [48, 64], "counts": [0, 48 * 64]}] * 6,
    }
    file, out = tmp_path / "a.json", tmp_path / "out"
    file.write_text(json.dumps([{"id": id, "segmentations": found} for id, found in wrong.items()]))
    options = ("--name", "X", *SET, "--data-root", official, "--out", out)
    assert "1 of 9 samples imported" in call("import", file, "--format", "coco-rle", *options)
    assert result(out)["predictors"]["model"]["errors"] == 8


def test_lines_whose_masks_have_another_size_or_length_are_misses(official: Path, tmp_path: Path) -> None:
    def line(id: str, size: tuple[int, int], frames: int, **meta: Any) -> str:
        track = MaskTrack.from_masks(0, [np.ones(size, bool)] * frames)
        return json.dumps({"id": id, **to_json(GroundedText("the cat", (), (track,), meta))})

    file, out = tmp_path / "a.jsonl", tmp_path / "out"
    lines = [
        line("clip0/0", (48, 64), 6),
        line("clip0/1", (24, 32), 6),
        line("clip0/2", (48, 64), 5),
        line("clip1/0", (48, 64), 6, sampled_frames=["a", "b"]),
        line("clip1/1", (48, 64), 6, sampled_frames=[0, 3]),
    ]
    file.write_text("\n".join(lines))
    options = ("--name", "X", *SET, "--data-root", official, "--out", out)
    assert "2 of 9 samples imported" in call("import", file, "--format", "jsonl", *options)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_pictures_of_every_kind_hold_the_same_mask(mode: str) -> None:
    mask = np.zeros((8, 10), np.uint8)
    mask[2:4, 3:5] = 255
    file = io.BytesIO()
    Image.fromarray(mask).convert(mode).save(file, format="PNG")
    assert np.array_equal(_picture(file.getvalue(), "a.png", (8, 10)) > 0, mask > 0)


def test_wrong_names_end_in_one_line(run: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("")
    assert "no format 'mevi'" in call("export", run, "--format", "mevi", "--out", tmp_path / "a", code=2)
    assert "already there" in call("export", run, "--format", "mevis", "--out", there, code=2)
    other = ("--dataset", "sprites:test", "--out", tmp_path / "a")
    assert "mevis:valid_u" in call("export", run, "--format", "mevis", *other, code=2)
    assert "holds no run" in call("export", tmp_path, "--format", "mevis", "--out", tmp_path / "a", code=2)


@given(st.lists(st.booleans(), min_size=24, max_size=24))
@settings(max_examples=60, deadline=None)
def test_runs_are_those_of_the_mask(bits: list[bool]) -> None:
    mask = np.array(bits).reshape(4, 6)
    counts = encode(mask)
    if counts is None:
        return
    runs = runs_of(counts)
    flat = np.concatenate([np.full(run, place % 2) for place, run in enumerate(runs)])
    assert (mask == flat.reshape(6, 4).T).all()


def test_annotators_of_ref_davis_have_a_tree_each(official: Path) -> None:
    samples = RefDAVIS17(official).samples("refseg", "valid")
    layout = LAYOUTS["davis"](samples)
    placed = {(layout.folder(sample), layout.value(sample)) for sample in samples}
    assert len(placed) == len(samples) == 16
    assert {folder for folder, _ in placed} == {
        f"anno_{person}/{video}" for person in range(4) for video in ("bear", "blackswan")
    }
    assert {value for _, value in placed} == {1, 2}


def test_frames_of_ref_youtube_vos_keep_their_names(official: Path) -> None:
    (sample, *_) = RefYouTubeVOS(official).samples("refseg", "train")
    video, expression = sample.id.split("/")
    expected = f"Annotations/{video}/{expression}/{sample.frame_names[-1]}.png"
    assert LAYOUTS["ref-youtube-vos"]([sample]).name(sample, len(sample.frame_names) - 1) == expected
    counted = f"{video}/{expression}/{len(sample.frame_names) - 1:05d}.png"
    assert LAYOUTS["mevis"]([sample]).name(sample, len(sample.frame_names) - 1) == counted
