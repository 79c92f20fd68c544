"""Steps of annotating: sources, mask makers, questions, limits; a killed run loses an item at most."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_server import Handler, Server, says
from test_annotate import FRAMES, GOOD, SIZE, classes, endpoint, found, rle, run, square  # noqa: F401

from benchmarks.annotate.items import Item, Thing, View
from benchmarks.annotate.pipeline import AnnotateConfig, annotate
from benchmarks.annotate.steps import Kept, Notes, build
from benchmarks.annotate.writers import plain
from benchmarks.datasets.markup import parse
from benchmarks.datasets.video_gcg import VideoGCG
from grounding_core.config import Part
from grounding_core.errors import DataError, GroundingError, PluginError, RecipeError
from grounding_core.interfaces.spatial_prompts import SpatialPrompts
from grounding_core.masks import MaskTrack
from grounding_core.video import Video


def notes(folder: Path) -> Notes:
    return Notes(Kept(folder / "kept"))


def pictures() -> np.ndarray:
    """A red square that moves right on grey, with a blue one below it."""
    made = np.full((FRAMES, *SIZE, 3), 90, dtype=np.uint8)
    for frame in range(FRAMES):
        made[frame][square(frame, 4)], made[frame][square(frame, 30)] = (220, 30, 30), (30, 30, 220)
    return made


def iou(track: MaskTrack, row: int) -> float:
    ours = track.masks()
    true = np.stack([square(frame, row) for frame in range(FRAMES)])
    return float((ours & true).sum() / (ours | true).sum())


def test_burst_is_read(classes: Path) -> None:  # noqa: F811
    masks = {"7": 4, "3": 30}
    sequence = {
        "dataset": "HACS",
        "seq_name": "one",
        "width": SIZE[1],
        "height": SIZE[0],
        "annotated_image_paths": [f"{frame:05d}.jpg" for frame in range(FRAMES)],
        "track_category_ids": {"7": 2, "3": 1},
        "segmentations": [
            {
                id: {"rle": rle(square(frame, row))["counts"]}
                for id, row in masks.items()
                if frame or id == "7"
            }
            for frame in range(FRAMES)
        ],
    }
    content = {"sequences": [sequence], "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}
    path = classes.parent / "burst.json"
    path.write_text(json.dumps(content))
    (classes.parent / "frames/HACS").mkdir()
    (classes.parent / "frames/one").rename(classes.parent / "frames/HACS/one")
    source = found(str(path), frames=classes.parent / "frames")
    item = source.items[0](notes(classes.parent))
    assert {thing.name: len(thing.track.visible()) for thing in item.things if thing.track} == {
        "cat": FRAMES - 1,
        "dog": FRAMES,
    }
    assert (
        annotate(source, AnnotateConfig(), classes.parent / "burst", split="val")["counts"]["captions"] == 1
    )


def test_sentences_with_a_box_a_noun_become_captions(tmp_path: Path) -> None:
    """In the layout of ActivityNet-Entities: each box is followed both ways through its segment."""
    pytest.importorskip("cv2")
    from grounding_core.render import write_overlay
    from grounding_core.types import GroundedText

    write_overlay(Video.open(pictures(), fps=2), GroundedText(""), tmp_path / "videos/v_1.mp4")
    scale = 720 / Video.open(tmp_path / "videos/v_1.mp4").size[1]
    large = Video.open(tmp_path / "videos/v_1.mp4").size[1] / SIZE[1]
    boxes = [[17, 2, 29, 16], [17, 28, 29, 42]]
    segment = {
        "process_bnd_box": [[side * large * scale for side in box] for box in boxes],
        "frame_ind": [4, 4],
        "process_clss": [["cat"], ["dog"]],
        "process_idx": [[1], [5]],
        "tokens": ["A", "cat", "runs", "over", "the", "dog", "."],
        "timestamps": [0.0, 2.5],
        "crowds": [0, 0],
    }
    path = tmp_path / "entities.json"
    path.write_text(json.dumps({"annotations": {"v_1": {"segments": {"0": segment}}}}))
    source = found(str(path), "entities", frames=tmp_path / "videos")
    config = AnnotateConfig(masks=Part(type="grabcut"))
    assert annotate(source, config, tmp_path / "out", split="val")["counts"]["captions"] == 1
    truth = VideoGCG(tmp_path / "out").samples("gcg", "val")[0].load_truth()
    assert truth.caption is not None and truth.caption.text == "A cat runs over the dog."
    assert [truth.caption.phrase(span) for span in truth.caption.spans] == ["A cat", "the dog"]
    assert all(len(track.visible()) == FRAMES for track in truth.tracks)


def test_plain_videos_are_looked_at_once(tmp_path: Path) -> None:
    """The tiny model, which does not know squares, stands for a detector."""
    (tmp_path / "clips").mkdir()
    from grounding_core.render import write_overlay
    from grounding_core.types import GroundedText

    write_overlay(Video.open(pictures()), GroundedText(""), tmp_path / "clips/mine.mp4")
    (tmp_path / "clips/notes.txt").write_text("no video")
    part = Part.model_validate(
        {"type": "videos", "ask": ["the red square", "red"], "licence": "CC0", "least": 0}
    )
    config = AnnotateConfig(objects=part)
    from benchmarks.annotate.sources import find
    from benchmarks.annotate.steps import Where

    _, source = find(str(tmp_path / "clips"), part, Where())
    assert source.ids == ["mine"] and source.licence == "CC0"
    first = notes(tmp_path)
    item = source.items[0](first)
    assert first.done[0]["step"] == "objects" and first.done[0]["seconds"] > 0
    assert all(thing.name in ("the red square", "red") for thing in item.things)
    again = find(str(tmp_path / "clips"), part, Where())[1].items[0](second := notes(tmp_path))
    assert again.content() == item.content() and second.done[0]["key"] == first.done[0]["key"]
    manifest = annotate(source, config, tmp_path / "out", split="val")
    assert manifest["counts"]["captions"] + manifest["counts"]["set_aside"] == 1
    with pytest.raises(DataError, match="has no videos"):
        found(str(tmp_path / "out"))


def test_grabcut_makes_masks_of_boxes_clicks_and_one_box(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    maker, video = build("masks", Part(type="grabcut")), Video.open(pictures())
    boxes = {f: (5.0 + 6 * f - 2, 2.0, 17.0 + 6 * f + 2, 16.0) for f in range(FRAMES)}
    (track,) = maker.tracks(video, [Thing(3, boxes=boxes)])
    assert track.id == 3 and iou(track, 4) > 0.95
    (sparse,) = maker.tracks(video, [Thing(0, boxes={2: boxes[2]}, sparse=True)])
    assert iou(sparse, 4) > 0.9
    clicked = maker.redraw(video, 3, SpatialPrompts(points=np.array([[[29.0, 35.0, 1]]])))
    assert iou(clicked, 30) > 0.9


def test_a_decoder_follows_the_largest_box_both_ways() -> None:
    pytest.importorskip("grounding_videoglamm")
    maker, video = (
        build("masks", Part.model_validate({"type": "tracker", "decoder": "videoglamm-tiny"})),
        pictures(),
    )
    boxes = {1: (0.0, 0.0, 20.0, 20.0), 2: (0.0, 0.0, 40.0, 40.0)}
    given = Video.open(video)
    dense, sparse = maker.tracks(given, [Thing(0, boxes=boxes), Thing(1, boxes=boxes, sparse=True)])
    assert set(dense.visible()) <= set(boxes)
    assert (len(sparse), sparse.size) == (FRAMES, SIZE)
    with pytest.raises(RecipeError, match="decoder"):
        build("masks", Part(type="tracker"))


VIDEO = Video.open(pictures())
ITEM = Item("x", lambda: VIDEO, (Thing(0, "cat"), Thing(1, "cat")))
TRACKS = {
    0: MaskTrack.from_masks(0, [square(frame, 4) for frame in range(FRAMES)]),
    1: MaskTrack.from_masks(
        1, [square(0, 30) if frame < 4 else np.zeros(SIZE, bool) for frame in range(FRAMES)]
    ),
}


def test_questions_have_many_forms_and_answers_that_point(tmp_path: Path) -> None:
    part = Part.model_validate({"type": "masks", "most": 20})
    caption = parse("[A red cat](0) passes [a blue cat](1).")
    checker = build("checker", Part(type="marks"))
    asked = build("questions", part).ask(ITEM, caption, View(VIDEO, TRACKS), checker, notes(tmp_path))
    told = {one.question: (one.answer.text, [span.tracks for span in one.answer.spans]) for one in asked}
    assert told["Where is the red cat?"] == (
        "The red cat is on the left at first and in the middle at the end.",
        [(0,)],
    )
    assert told["How many cats are there?"] == ("There are two cats.", [(0, 1)])
    assert told["Which object moves most?"] == ("The red cat.", [(0,)])
    assert told["What is gone at the end?"] == ("The blue cat.", [(1,)])
    assert "What comes into view later on?" not in told
    for one in asked:
        checked = checker.check(one.answer.text, ITEM, View(VIDEO, TRACKS), all_named=False)
        assert one.answer.spans and checked.caption is not None


def test_triplets_are_read_as_samples_that_ask(classes: Path) -> None:  # noqa: F811
    manifest = run(classes, questions={"type": "masks"})
    counts = manifest["counts"]
    assert counts["triplets"] == counts["captions"] + counts["questions"] > 4
    samples = VideoGCG(classes.parent / "out").samples("gcg", "val")
    asking = [sample for sample in samples if sample.query.kind == "ask"]
    assert len(asking) == counts["questions"] and {sample.tags["form"] for sample in asking} >= {
        "where",
        "count",
    }
    for sample in asking:
        truth = sample.load_truth()
        assert truth.caption is not None and truth.caption.spans and truth.tracks


def test_questions_by_a_model_are_checked(classes: Path, serve: Callable[..., Server]) -> None:  # noqa: F811
    bad = "Q: Where is it?\nA: [There](9).\nQ: Who meets whom?\nA: [The cat](0) meets [the dog](1)."
    good = "Q: What is red?\nA: [The cat](0) is."
    server = serve(says(bad), says(good), says("nothing"), says("nothing"))
    questions = {**endpoint(server), "count": 2, "tries": 2}
    manifest = run(classes, questions=questions)
    assert manifest["counts"]["questions"] == 2 and manifest["counts"]["refused"] == 3
    assert manifest["cost"] > 0
    aside = (classes.parent / "out/annotate-val.aside.jsonl").read_text()
    assert "no object 9" in aside and "begin with Q:" in aside


@pytest.mark.parametrize(
    ("saying", "marked"),
    [
        ("the whale that leaves first", "[the whale](0) that leaves first"),
        (
            "The red horse passes in front of the balloon.",
            "[The red horse](0) that passes in front of the balloon",
        ),
        ("the blue object is on the right", "[the blue object](0) that is on the right"),
        ("the red glasses on the table", "[the red glasses on the table](0)"),
        ("bus", "[a bus](0)"),
    ],
)
def test_without_a_model_the_words_that_name_an_object_are_guessed(saying: str, marked: str) -> None:
    item = Item("x", lambda: VIDEO, (Thing(0, "", (saying,)),))
    assert plain(item, {}) == f"The video shows {marked}."


def test_limits_end_a_run_that_goes_on_later(classes: Path, serve: Callable[..., Server]) -> None:  # noqa: F811
    server = serve(says(GOOD))
    with pytest.raises(GroundingError, match="limit of a run"):
        run(classes, composer={**endpoint(server), "most_calls": 1})
    assert run(classes, composer={**endpoint(server), "most_calls": 1})["counts"]["captions"] == 2
    assert len(server.asked) == 2


def test_steps_that_nobody_offers_and_wrong_options_are_named() -> None:
    with pytest.raises(PluginError, match="mask maker 'lasso'"):
        build("masks", Part(type="lasso"))
    with pytest.raises(RecipeError, match="questions"):
        build("questions", Part.model_validate({"type": "masks", "forms": ["why"]}))


def test_a_killed_run_loses_the_item_in_hand_at_most(
    classes: Path,  # noqa: F811
    serve: Callable[..., Server],
) -> None:
    """SIGKILL while the second video's answer is awaited; the rerun asks for that one alone."""

    def slow(handler: Handler) -> None:
        time.sleep(3)
        says(GOOD)(handler)

    server = serve(says(GOOD), slow, says(GOOD))
    recipe = classes.parent / "recipe.yaml"
    recipe.write_text(json.dumps({"composer": endpoint(server), "questions": {"type": "none"}}))
    options: list[Any] = [
        "--frames",
        classes.parent / "frames",
        "--out",
        classes.parent / "out",
        "--split",
        "val",
    ]
    command = [sys.executable, "-m", "grounding_core.cli", "annotate", classes, *options, "--recipe", recipe]
    running = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while len(server.asked) < 2:
        assert running.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert (classes.parent / "out/annotate/val/one.json").is_file()
    assert run(classes, composer=endpoint(server))["counts"]["captions"] == 2
    assert len(server.asked) == 3


@pytest.mark.slow
def test_on_ray_as_here_and_a_worker_that_dies_is_replaced(
    classes: Path,  # noqa: F811
    serve: Callable[..., Server],
) -> None:
    pytest.importorskip("ray")
    run(classes, questions={"type": "masks"})
    killed: list[int] = []

    def kills_the_asker(handler: Handler) -> None:
        listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
        pids = [int(line.split()[0]) for line in listed.splitlines() if "ray::Remote" in line]
        killed.append(pids[0])
        os.kill(pids[0], signal.SIGKILL)
        says(GOOD)(handler)

    server = serve(kills_the_asker, says(GOOD))
    out, recipe = classes.parent / "ray", classes.parent / "recipe.yaml"
    recipe.write_text(json.dumps({"composer": endpoint(server), "questions": {"type": "masks"}}))
    options: list[Any] = ["--frames", classes.parent / "frames", "--out", out, "--split", "val"]
    options += ["--recipe", recipe, "--engine", "ray", "--workers", "1"]
    command = [sys.executable, "-m", "grounding_core.cli", "annotate", classes, *options]
    tests = str(Path(__file__).parent)
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=tests, timeout=500
    )
    assert done.returncode == 0, done.stderr
    assert killed and "2 captions" in done.stdout
    here, there = (VideoGCG(folder).samples("gcg", "val") for folder in (classes.parent / "out", out))
    assert len(there) == len(here) and [one.video_id for one in there] == [one.video_id for one in here]
    for one, other in zip(here, there, strict=True):
        assert one.load_truth().tracks == other.load_truth().tracks
    wrong = subprocess.run(
        [str(part) for part in [*command[:-4], "--workers", "1"]], capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 1 and "--engine ray" in wrong.stderr
