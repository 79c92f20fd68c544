"""Exports, read back by the libraries they are for."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from typer.testing import CliRunner

from grounding_core import GroundedText, MaskTrack, Span, Video
from grounding_core.cli import app
from grounding_core.errors import GroundingError
from grounding_core.export import FORMATS, detections, to_supervision
from grounding_core.label_studio import from_rle
from grounding_core.render import save_answer, write_overlay

SIZE = (40, 60)


def answer() -> GroundedText:
    """Two objects; the second is seen in frames 1 and 3 only."""
    first, second = np.zeros((2, 4, *SIZE), bool)
    for index in range(4):
        first[index, 5:15, 3 * index : 3 * index + 10] = True
    second[[1, 3], 20:30, 40:55] = True
    tracks = (MaskTrack.from_masks(0, first), MaskTrack.from_masks(7, second))
    return GroundedText("A Dog and it.", (Span(2, 5, (0,)),), tracks)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    video = Video.open(np.zeros((4, *SIZE, 3), np.uint8), fps=4)
    return save_answer(answer(), video, tmp_path / "answer")


def export(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["export", *map(str, arguments)])
    assert done.exit_code == code, done.output or done.exception
    return done.output


def test_coco_is_read_by_pycocotools(saved: Path, tmp_path: Path) -> None:
    export(saved, saved, "--format", "coco", "--out", tmp_path / "made" / "coco.json")
    coco = COCO(str(tmp_path / "made" / "coco.json"))
    assert len(coco.imgs) == 8 and {c["name"] for c in coco.cats.values()} == {"dog", "object"}
    second = next(image["id"] for image in coco.imgs.values() if image["frame_id"] == 1)
    found = coco.loadAnns(coco.getAnnIds(imgIds=[second]))
    assert [each["track_id"] for each in found] == [0, 7]
    for each, track in zip(found, answer().tracks, strict=True):
        assert (coco.annToMask(each).astype(bool) == track.mask(1)).all()
        assert each["area"] == track.mask(1).sum()
    assert found[1]["bbox"] == [40, 20, 15, 10]
    assert not coco.getAnnIds(imgIds=[second - 1], catIds=coco.getCatIds(["object"]))


def test_youtube_vis_has_an_entry_a_frame(saved: Path) -> None:
    made = json.loads(export(saved / "answer.json", "--format", "youtube-vis"))
    (video,) = made["videos"]
    assert (video["length"], len(video["file_names"])) == (4, 4)
    seen = [each["segmentations"] for each in made["annotations"]]
    assert [code is not None for code in seen[1]] == [False, True, False, True]
    assert (coco_mask.decode(seen[0][2]).astype(bool) == answer().tracks[0].mask(2)).all()
    assert made["annotations"][1]["bboxes"] == [None, [40, 20, 15, 10], None, [40, 20, 15, 10]]


def test_label_studio_boxes_end_where_the_object_goes(saved: Path) -> None:
    (task,) = json.loads(export(saved, "--format", "label-studio"))
    dog, other = (each["value"] for each in task["predictions"][0]["result"])
    assert (dog["labels"], other["labels"], dog["framesCount"]) == (["dog"], ["object"], 4)
    assert [(key["frame"], key["enabled"]) for key in other["sequence"]] == [(2, False), (4, False)]
    assert [key["enabled"] for key in dog["sequence"]] == [True, True, True, False]
    assert other["sequence"][0]["width"] == pytest.approx(25)


def test_supervision_takes_a_frame() -> None:
    supervision = pytest.importorskip("supervision", reason="needs supervision")
    found = to_supervision(answer(), 1)
    assert isinstance(found, supervision.Detections)
    assert found.tracker_id.tolist() == [0, 7] and found["class_name"].tolist() == ["dog", "object"]
    assert found.xyxy[1].tolist() == [40, 20, 55, 30] and found.mask.shape == (2, *SIZE)
    assert [len(each) for each in detections(answer())] == [1, 2, 1, 2]


def test_a_class_keeps_its_number_through_the_frames() -> None:
    pytest.importorskip("supervision", reason="needs supervision")
    late = replace(answer().tracks[0], frames=(None, *answer().tracks[0].frames[1:]))
    text = GroundedText("It and a dog.", (Span(0, 2, (0,)), Span(9, 12, (7,))), (late, answer().tracks[1]))
    seen = [found.class_id.tolist() for found in detections(text)]
    assert seen == [[], [1, 0], [1], [1, 0]]


def test_what_is_no_answer_is_refused(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    for arguments in ((tmp_path / "other.json", "--format", "coco"), (saved, "--format", "png")):
        done = CliRunner().invoke(app, ["export", *map(str, arguments)])
        assert done.exit_code == 1 and type(done.exception).__name__ == "GroundingError"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("tracks", 0, "frames", 2, "counts"), "PPYo0", "Track 0 has a broken mask in frame 2"),
        (("tracks", 0, "frames", 2, "counts"), "é", "not an answer"),
        (("tracks", 1, "frames"), [None, None], "Track 7 has 2 frames"),
        (("tracks", 1, "frames"), [None] * 5, "Track 7 has 5 frames"),
        (("video", "size"), [40, 61], r"of size \(40, 61\)"),
        (("video", "fps"), 0, "0.0 a second"),
    ],
)
def test_a_damaged_answer_is_named(
    saved: Path, path: tuple[str | int, ...], value: object, said: str
) -> None:
    data = place = json.loads((saved / "answer.json").read_text())
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (saved / "answer.json").write_text(json.dumps(data))
    for format in FORMATS:
        done = CliRunner().invoke(app, ["export", str(saved), "--format", format])
        assert isinstance(done.exception, GroundingError)
        assert done.exception.problem.startswith(f"{saved / 'answer.json'} is no saved answer: ")
        assert re.search(said, done.exception.problem)


def test_label_studio_masks_are_a_task_a_frame(saved: Path) -> None:
    tasks = json.loads(export(saved, "--format", "label-studio-masks"))
    assert [task["data"]["image"].split("/")[1] for task in tasks] == [f"0000{i}.jpg" for i in range(4)]
    for index, task in enumerate(tasks):
        found = {each["id"]: each for each in task["predictions"][0]["result"]}
        for track in answer().tracks:
            if track.frames[index] is None:
                assert f"track-{track.id}" not in found
                continue
            value = found[f"track-{track.id}"]["value"]
            assert value["brushlabels"] == [{0: "dog", 7: "object"}[track.id]]
            assert (from_rle(value["rle"], SIZE) == track.mask(index)).all()


def test_label_studio_reads_its_masks(saved: Path) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="needs label-studio-sdk")
    task = json.loads(export(saved, "--format", "label-studio-masks"))[1]
    results = [{**each, **each["value"]} for each in task["predictions"][0]["result"]]
    layers = brush.decode_from_annotation("mask", results)
    assert [name.split("-")[1] for name in layers] == ["dog", "object"]
    for layer, track in zip(layers.values(), answer().tracks, strict=True):
        assert ((layer > 0) == track.mask(1)).all()


@pytest.fixture
def from_file(tmp_path: Path) -> Path:
    """An answer about a video that is a file."""
    plain = Video.open(np.zeros((4, *SIZE, 3), np.uint8), fps=4)
    write_overlay(plain, GroundedText(""), tmp_path / "clip.mp4")
    video = Video.open(tmp_path / "clip.mp4")
    masks = np.zeros((4, *video.size), bool)
    masks[[0, 2], 7:20, 11:40] = True
    masks[0, 7, 11] = False
    track = MaskTrack.from_masks(3, masks)
    return save_answer(GroundedText("A cat.", (Span(2, 5, (3,)),), (track,)), video, tmp_path / "asked")


def test_fiftyone_gets_videos_and_masks_in_boxes(from_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "fiftyone"
    export(from_file, "--format", "fiftyone", "--out", out)
    (entry,) = json.loads((out / "manifest.json").read_text())["index"]
    assert Video.open(out / entry["data"]).size == Video.open(tmp_path / "clip.mp4").size
    labels = json.loads((out / entry["labels"]).read_text())
    assert sorted(labels["frames"]) == ["1", "3"] and labels["attrs"]["attrs"][0]["value"] == "A cat."
    (found,) = labels["frames"]["1"]["objects"]["objects"]
    assert (found["label"], found["index"]) == ("cat", 3)
    mask = np.load(io.BytesIO(zlib.decompress(base64.b64decode(found["mask"]))))
    assert mask.shape == (13, 29) and mask.sum() == 13 * 29 - 1 and not mask[0, 0]
    for arguments, said in (((from_file, "--out", out), "not empty"), ((from_file,), "is a folder")):
        done = CliRunner().invoke(app, ["export", *map(str, arguments), "--format", "fiftyone"])
        assert said in str(done.exception)


def test_fiftyone_imports_it(from_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its importer reads without its database, which is not started here."""
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=1")
    pytest.importorskip("fiftyone", reason="needs fiftyone")
    from fiftyone.utils.data.importers import FiftyOneVideoLabelsDatasetImporter

    export(from_file, "--format", "fiftyone", "--out", tmp_path / "fiftyone")
    importer = FiftyOneVideoLabelsDatasetImporter(str(tmp_path / "fiftyone"))
    importer.setup()
    ((video, _, answered, frames),) = importer
    assert Path(video).is_file() and answered["answer"].label == "A cat." and sorted(frames) == [1, 3]
    (found,) = frames[3]["detections"].detections
    height, width = Video.open(video).size
    assert found.bounding_box == pytest.approx([11 / width, 7 / height, 29 / width, 13 / height])
    assert (found.label, found.index, found.mask.shape, bool(found.mask.all())) == ("cat", 3, (13, 29), True)


def test_frames_are_written_as_the_files_name_them(from_file: Path, saved: Path, tmp_path: Path) -> None:
    export(from_file, "--format", "coco", "--out", tmp_path / "coco.json", "--frames", tmp_path / "frames")
    made = json.loads((tmp_path / "coco.json").read_text())
    for image in made["images"]:
        with Image.open(tmp_path / "frames" / image["file_name"]) as frame:
            assert frame.size == (image["width"], image["height"])
    done = CliRunner().invoke(
        app, ["export", str(saved), "--format", "coco", "--frames", str(tmp_path / "f")]
    )
    assert done.exit_code == 1, "its video was never a file"


@pytest.fixture
def namesakes(tmp_path: Path) -> list[Path]:
    """Answers about two videos of one name, a dark one and a bright one."""
    found = []
    for folder, grey in (("a", 0), ("b", 250)):
        plain = Video.open(np.full((2, 256, 256, 3), grey, np.uint8), fps=4)
        write_overlay(plain, GroundedText(""), tmp_path / folder / "clip.mp4")
        video = Video.open(tmp_path / folder / "clip.mp4")
        found.append(save_answer(GroundedText("It."), video, tmp_path / folder / "answer"))
    return found


def brightness(image: Path) -> float:
    with Image.open(image) as picture:
        return float(np.asarray(picture).mean())


def test_videos_of_one_name_have_frames_of_their_own(namesakes: list[Path], tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    for format in ("coco", "youtube-vis", "label-studio-masks"):
        export(*namesakes, "--format", format, "--out", tmp_path / format, "--frames", frames)
    names = [image["file_name"] for image in json.loads((tmp_path / "coco").read_text())["images"]]
    assert len(set(names)) == 4
    assert [brightness(frames / name) > 128 for name in names] == [False, False, True, True]
    videos = json.loads((tmp_path / "youtube-vis").read_text())["videos"]
    assert [name for video in videos for name in video["file_names"]] == names
    tasks = json.loads((tmp_path / "label-studio-masks").read_text())
    assert [task["data"]["image"] for task in tasks] == names


def test_frames_of_another_video_are_refused(namesakes: list[Path], tmp_path: Path) -> None:
    frames = ("--frames", tmp_path / "frames")
    for _ in range(2):
        export(namesakes[0], "--format", "coco", "--out", tmp_path / "a.json", *frames)
    done = CliRunner().invoke(
        app, ["export", *map(str, (namesakes[1], "--format", "coco", "--out", tmp_path / "b.json", *frames))]
    )
    assert "holds frames of" in str(done.exception) and not (tmp_path / "b.json").exists()
    assert brightness(tmp_path / "frames" / "clip" / "00000.jpg") < 128


def test_frames_of_a_changed_video_are_written_again(namesakes: list[Path], tmp_path: Path) -> None:
    export(namesakes[0], "--format", "coco", "--out", tmp_path / "a.json", "--frames", tmp_path / "frames")
    (tmp_path / "b" / "clip.mp4").replace(tmp_path / "a" / "clip.mp4")
    export(namesakes[0], "--format", "coco", "--out", tmp_path / "a.json", "--frames", tmp_path / "frames")
    assert brightness(tmp_path / "frames" / "clip" / "00001.jpg") > 128
