"""Review: changes are kept with who and when, undone, exported; and taken to other programs and back."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_annotate import FRAMES, classes, run, square  # noqa: F401

from benchmarks.annotate.masks import Filled
from benchmarks.audit import auditing, findings
from benchmarks.datasets.video_gcg import VideoGCG
from benchmarks.review import cvat, label_studio
from benchmarks.review.changes import Change, Log, ReviewError, apply
from benchmarks.review.export import export, scores
from benchmarks.review.reviewing import Review, ReviewItem
from grounding_core.errors import DataError
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.label_studio import from_rle, to_rle
from grounding_core.masks import MaskTrack, encode
from grounding_core.types import GroundedText, Span
from grounding_core.video import Video

TEXT = GroundedText(
    "A cat sees a dog.",
    (Span(0, 5, (0,)), Span(11, 16, (1,))),
    (MaskTrack(0, (2, 2), (encode(np.eye(2, dtype=bool)),)), MaskTrack(1, (2, 2), (None,))),
)


@pytest.fixture
def made(classes: Path) -> Path:  # noqa: F811
    """Two captioned videos with questions."""
    run(classes, questions={"type": "masks"})
    return classes.parent / "out"


def opened(made: Path, out: Path) -> Review:
    return Review(auditing.below(made), out)


def changed(text: GroundedText, action: str, **values: Any) -> GroundedText:
    return apply(text, Change.now("x", action, "Ada", **values))


def test_each_change_does_what_it_says() -> None:
    renamed = changed(TEXT, "rename", span=0, words="The old tabby")
    assert renamed.text == "The old tabby sees a dog."
    assert [renamed.phrase(span) for span in renamed.spans] == ["The old tabby", "a dog"]
    assert changed(TEXT, "link", span=1, tracks=[0, 1]).spans[1].tracks == (0, 1)
    said = changed(TEXT, "caption", marked="[Two pets](0, 1) meet.")
    assert said.text == "Two pets meet." and said.spans == (Span(0, 8, (0, 1)),)
    drawn = changed(TEXT, "mask", track=1, masks=[(encode(np.ones((2, 2), bool)) or b"").decode()])
    assert drawn.tracks[1].area(0) == 4 and drawn.tracks[0] == TEXT.tracks[0]
    new = changed(TEXT, "mask", track=5, masks=[None])
    assert [track.id for track in new.tracks] == [0, 1, 5]
    assert changed(TEXT, "accept") == changed(TEXT, "drop", reason="dull") == TEXT


@pytest.mark.parametrize(
    ("action", "values", "said"),
    [
        ("rename", {"span": 2, "words": "x"}, "no phrase 2"),
        ("rename", {"span": 0, "words": " "}, "needs words"),
        ("link", {"span": 0, "tracks": [7]}, "no object 7"),
        ("caption", {"marked": "[A cat](4)"}, "no object 4"),
        ("caption", {"marked": "[A cat](x)"}, "malformed"),
        ("caption", {"marked": " "}, "empty"),
        ("mask", {"track": 0, "masks": [None, None]}, "2 masks, the video 1"),
        ("link", {}, "lacks the value .span."),
        ("burn", {}, "no action 'burn'"),
    ],
)
def test_changes_that_do_not_fit_are_refused(action: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ReviewError, match=said):
        changed(TEXT, action, **values)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 1), st.text("ab ", min_size=1).filter(str.strip)), max_size=4))
def test_renaming_keeps_every_other_phrase(renames: list[tuple[int, str]]) -> None:
    text, expected = TEXT, ["A cat", "a dog"]
    for place, words in renames:
        text = changed(text, "rename", span=place, words=words)
        expected[place] = " ".join(words.split())
    assert [text.phrase(span) for span in text.spans] == expected


def test_the_log_survives_a_kill_and_undoes(tmp_path: Path) -> None:
    path = tmp_path / "changes.jsonl"
    log = Log(path)
    log.add(Change.now("x", "rename", "Ada", span=0, words="A lion"))
    log.add(Change.now("x", "accept", "Ada"))
    log.add(Change.now("y", "drop", "Ben"))
    with path.open("a") as file:
        file.write('{"item": "x", "act')
    again = Log(path)
    assert [change.action for change in again.of("x")] == ["rename", "accept"]
    again.add(Change.now("x", "undo", "Ben"))
    kept = Log(path)
    assert [change.action for change in kept.of("x")] == ["rename"] and kept.of("y")[0].who == "Ben"
    assert kept.of("x")[0].when.endswith("+00:00")
    assert len(path.read_text().splitlines()) == 5, "what was undone is still told"


def test_the_worst_items_come_first(made: Path, tmp_path: Path) -> None:
    questions = auditing.below(made)
    audited = auditing.audit(questions)
    bad = findings.Fault("jumping-mask", 0.6, "It leaps.", (3,), (0,))
    worse = [
        replace(one, faults=(bad,)) if one.sample.startswith("val/two#1") else one for one in audited[:2]
    ]
    findings.write([*audited, *worse], tmp_path / "audit")
    review = Review(questions, tmp_path / "review", tmp_path / "audit/findings.jsonl")
    assert [item.score for item in review.items] == sorted((i.score for i in review.items), reverse=True)
    with pytest.raises(DataError, match="other data"):
        (tmp_path / "other.jsonl").write_text(
            '{"dataset": "d", "split": "s", "task": "t", "sample": "x", "score": 1}\n'
        )
        Review(questions, tmp_path / "review", tmp_path / "other.jsonl")


def test_what_was_reviewed_is_written_as_a_set(made: Path, tmp_path: Path) -> None:
    review = opened(made, tmp_path / "review")
    captions = [item for item in review.items if item.sample.query.kind == "describe"]
    questions = [item for item in review.items if item.sample.query.kind == "ask"]
    one, two = sorted(captions, key=lambda item: item.key)
    review.add(Change.now(one.key, "rename", "Ada", span=0, words="a tabby"))
    review.add(Change.now(one.key, "accept", "Ada"))
    review.add(Change.now(two.key, "drop", "Ada", reason="dull"))
    dropped = next(item for item in questions if item.sample.video_id == one.sample.video_id)
    review.add(Change.now(dropped.key, "drop", "Ada"))
    manifest = export(opened(made, tmp_path / "review"), tmp_path / "reviewed", "val")
    asked = sum(item.sample.video_id == one.sample.video_id for item in questions)
    assert (manifest["counts"]["captions"], manifest["counts"]["questions"]) == (1, asked - 1)
    samples = VideoGCG(tmp_path / "reviewed").samples("gcg", "val")
    truth = next(sample for sample in samples if sample.query.kind == "describe").load_truth()
    assert truth.caption is not None and truth.caption.text.startswith("The video shows a tabby")
    for frame in range(FRAMES):
        assert (truth.tracks[0].mask(frame) == square(frame, 4)).all()
    told = scores(review)["video-gcg/gcg"]
    assert told[one.sample.id] == 0 and told[two.sample.id] == 1
    content = json.loads((tmp_path / "reviewed/video_gcg/instruction_data/val.json").read_text())
    steps = content["videos"][0]["provenance"]["steps"]
    assert [(step["action"], step["by"]) for step in steps] == [("rename", "Ada"), ("accept", "Ada")]


def edited(path: Path, edit: Callable[[ElementTree.Element], None]) -> Path:
    with zipfile.ZipFile(path) as archive:
        root = ElementTree.fromstring(archive.read("annotations.xml"))
    edit(root)
    target = path.with_suffix(".xml")
    target.write_bytes(ElementTree.tostring(root))
    return target


def test_to_cvat_and_back(made: Path, tmp_path: Path) -> None:
    review = opened(made, tmp_path / "review")
    item = next(item for item in review.items if item.sample.query.kind == "describe")
    path = tmp_path / "item.zip"
    cvat.write(review, item, path)
    with zipfile.ZipFile(path) as archive:
        assert len([name for name in archive.namelist() if name.startswith("images/")]) == FRAMES
    assert cvat.read(review, path, "Ben") == [], "nothing was changed"

    def edit(root: ElementTree.Element) -> None:
        first, second = root.findall("image")[:2]
        tag = first.find("tag/attribute")
        assert tag is not None
        tag.text = "[A tabby](0) and [a dog](1)."
        for shape in second.findall("mask"):
            second.remove(shape)
        for name, facts, id in (
            ("polygon", {"points": "0,0;9,0;9,9;0,9"}, "0"),
            ("box", {"xtl": "20", "ytl": "10", "xbr": "30", "ybr": "20"}, "1"),
        ):
            shape = ElementTree.SubElement(second, name, {"label": "object", **facts})
            ElementTree.SubElement(shape, "attribute", {"name": "object"}).text = id

    changes = cvat.read(review, edited(path, edit), "Ben")
    assert [change.action for change in changes] == ["mask", "mask", "caption"]
    text = review.text(item)
    assert text.text == "A tabby and a dog."
    boxed = text.tracks[1].mask(1)
    assert boxed[10:20, 20:30].all() and boxed.sum() == 100 and text.tracks[0].area(1) == 100
    assert text.tracks[0].area(0) == square(0, 4).sum()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('<!DOCTYPE x [<!ENTITY a "b">]><annotations>&a;</annotations>', "entities"),
        ("<annotations>", "can't be read"),
        ("<annotations/>", "not reviewed here"),
    ],
)
def test_files_that_cvat_did_not_write_are_refused(
    made: Path, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "a.xml").write_text(content)
    with pytest.raises(DataError, match=said):
        cvat.read(opened(made, tmp_path / "review"), tmp_path / "a.xml", "Ben")


@given(st.integers(0, 2**20 - 1))
def test_run_lengths_of_cvat_are_read_back(bits: int) -> None:
    mask = np.array([bits >> place & 1 for place in range(20)], dtype=bool).reshape(4, 5)
    if mask.any():
        shape = ElementTree.Element("mask", cvat.mask_attributes(mask))
        assert (cvat.of_mask(shape, (4, 5)) == mask).all()


def annotated(folder: Path, edit: Callable[[list[dict[str, Any]]], object]) -> Path:
    """What Label Studio exports after its users have submitted the predictions, and edited them."""
    tasks = json.loads((folder / "tasks.json").read_text())
    for id, task in enumerate(tasks):
        result = task["predictions"][0]["result"]
        task |= {"id": id, "annotations": [{"completed_by": 7, "was_cancelled": False, "result": result}]}
        task["annotations"][0]["updated_at"] = "2026-01-01T10:00:00Z"
    edit(tasks)
    path = folder / "exported.json"
    path.write_text(json.dumps(tasks))
    return path


def result(task: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (one for one in task["annotations"][0]["result"] if one["id"] == name)
    return found["value"]  # type: ignore[no-any-return]


@pytest.fixture
def item(made: Path, tmp_path: Path) -> tuple[Review, ReviewItem]:
    review = opened(made, tmp_path / "review")
    return review, next(one for one in review.items if one.sample.query.kind == "describe")


FILLED = Filled(ComponentConfig())


def test_to_label_studio_and_back_as_rectangles(item: tuple[Review, ReviewItem], tmp_path: Path) -> None:
    review, one = item
    label_studio.write(review, [one], tmp_path / "out")
    assert len(Video.open(next((tmp_path / "out/media").glob("*.mp4")))) == FRAMES
    config = ElementTree.parse(tmp_path / "out/labels.xml")
    known = {found.get("name") for found in config.iter()}
    used = {
        r["from_name"]
        for t in json.loads((tmp_path / "out/tasks.json").read_text())
        for r in t["predictions"][0]["result"]
    }
    assert used <= known and next(found.get("value") for found in config.iter("Label")) == "object 0"
    same = annotated(tmp_path / "out", lambda tasks: None)
    assert label_studio.read(review, same, None, FILLED) == [], "nothing was changed"

    def edit(tasks: list[dict[str, Any]]) -> None:
        (task,) = tasks
        result(task, "caption")["text"] = ["[A tabby](0) and [a dog](1)."]
        keys = result(task, "track-0")["sequence"]
        height, width = one.sample.open_video().size
        keys[1] |= {"x": 0, "y": 0, "width": 1000 / width, "height": 1000 / height}
        del keys[-1]
        keys[-1]["enabled"] = False
        task["annotations"][0]["result"].append(
            {"type": "choices", "from_name": "verdict", "value": {"choices": ["accept"]}}
        )

    before = review.text(one)
    changes = label_studio.read(review, annotated(tmp_path / "out", edit), None, FILLED)
    assert [change.action for change in changes] == ["mask", "caption", "accept"]
    assert {change.who for change in changes} == {"user 7 (Label Studio)"}
    text = review.text(one)
    assert text.text == "A tabby and a dog." and review.status(one) == "accept"
    drawn = text.tracks[0]
    assert drawn.mask(1)[:10, :10].all() and drawn.area(1) == 100
    assert drawn.frames[0] == before.tracks[0].frames[0] and drawn.frames[-1] is None
    assert text.tracks[1] == before.tracks[1]


def test_to_label_studio_and_back_as_brushes(item: tuple[Review, ReviewItem], tmp_path: Path) -> None:
    review, one = item
    label_studio.write(review, [one], tmp_path / "out", "masks", "/files/")
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())
    assert [task["data"]["frame"] for task in tasks] == list(range(FRAMES))
    picture = tasks[2]["data"]["image"].removeprefix("/files/")
    assert (tmp_path / "out" / picture).is_file()
    before = review.text(one)
    brush = tasks[2]["predictions"][0]["result"][0]
    assert brush["meta"]["text"] == [before.phrase(before.spans[0])]
    assert (from_rle(brush["value"]["rle"], before.tracks[0].size) == before.tracks[0].mask(2)).all()
    same = annotated(tmp_path / "out", lambda tasks: None)
    assert label_studio.read(review, same, None, FILLED) == [], "nothing was changed"

    def edit(tasks: list[dict[str, Any]]) -> None:
        mask = np.zeros(before.tracks[0].size, dtype=bool)
        mask[5:9, 5:9] = True
        result(tasks[2], "object-0-2")["rle"] = to_rle(mask)
        result(tasks[2], "caption")["text"] = "[A tabby](0) and [a dog](1)."
        del tasks[3]["annotations"][0]["result"][0]
        tasks[4]["annotations"][0] |= {"was_cancelled": True, "result": []}
        del tasks[5]["annotations"]

    changes = label_studio.read(review, annotated(tmp_path / "out", edit), "Ben", FILLED)
    assert [(change.action, change.who) for change in changes] == [("mask", "Ben"), ("caption", "Ben")]
    drawn = review.text(one).tracks[0]
    assert drawn.area(2) == 16 and drawn.frames[3] is None
    assert drawn.frames[4:] == before.tracks[0].frames[4:]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "no list of tasks"),
        ("[", "can't be read"),
        ("[{}]", "lacks 'data'"),
        ('[{"data": {"item": "x"}}]', "not reviewed here"),
        (
            '[{"data": {"item": KEY}, "annotations": [{"result": [{"type": "videorectangle", '
            '"value": {"sequence": []}}]}]}]',
            "no one object",
        ),
        (
            '[{"data": {"item": KEY, "frame": 0}, "annotations": [{"result": [{"type": "brushlabels", '
            '"value": {"rle": [0, 1], "brushlabels": ["object 0"]}}]}]}]',
            "end too soon",
        ),
        ('[{"data": {"item": KEY, "frame": 99}, "annotations": [{"result": []}]}]', "frame 99"),
    ],
)
def test_files_that_label_studio_did_not_write_are_refused(
    item: tuple[Review, ReviewItem], tmp_path: Path, content: str, said: str
) -> None:
    review, one = item
    (tmp_path / "a.json").write_text(content.replace("KEY", json.dumps(one.key)))
    with pytest.raises(DataError, match=said):
        label_studio.read(review, tmp_path / "a.json", "Ben", FILLED)
