"""Exports, read back by the libraries they are for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from typer.testing import CliRunner

from grounding_core import GroundedText, MaskTrack, Span, Video
from grounding_core.cli import app
from grounding_core.export import detections, to_supervision
from grounding_core.render import save_answer

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


def test_what_is_no_answer_is_refused(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    for arguments in ((tmp_path / "other.json", "--format", "coco"), (saved, "--format", "png")):
        done = CliRunner().invoke(app, ["export", *map(str, arguments)])
        assert done.exit_code == 1 and type(done.exception).__name__ == "GroundingError"
