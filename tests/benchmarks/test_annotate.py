"""``grounding annotate``: captions with masks from every kind of source, with models that misbehave."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server import Handler, Server, fails, says
from PIL import Image

from benchmarks.annotate.checking import Marks
from benchmarks.annotate.items import Item, Source, Thing, View
from benchmarks.annotate.layout import words
from benchmarks.annotate.pipeline import AnnotateConfig, annotate
from benchmarks.annotate.sources import find
from benchmarks.annotate.steps import Kept, Notes, Where
from benchmarks.annotate.writers import plain
from benchmarks.datasets.markup import Caption
from benchmarks.datasets.video_gcg import VideoGCG
from grounding_core.cli import main
from grounding_core.config import Part
from grounding_core.errors import DataError, GroundingError, RecipeError
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.dataset import Truth
from grounding_core.masks import encode
from grounding_core.plugins import registry
from grounding_core.types import Span
from grounding_core.video import Video

SIZE, FRAMES = (48, 64), 6
GOOD = "[A red cat](0) meets [the dog](1)."


def square(frame: int, row: int) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[row : row + 10, 5 + 6 * frame : 17 + 6 * frame] = True
    return mask


def rle(mask: np.ndarray) -> dict[str, Any]:
    counts = encode(mask)
    assert counts is not None
    return {"size": list(SIZE), "counts": counts.decode("ascii")}


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """In the layout of YouTube-VIS: a cat and a dog with masks, a cat and a cow with boxes."""
    videos, annotations = [], []
    for number, name in enumerate(("one", "two")):
        (tmp_path / "frames" / name).mkdir(parents=True)
        for frame in range(FRAMES):
            picture = np.full((*SIZE, 3), 90, dtype=np.uint8)
            picture[square(frame, 4)], picture[square(frame, 30)] = (220, 30, 30), (30, 30, 220)
            Image.fromarray(picture).save(tmp_path / f"frames/{name}/{frame:05d}.jpg")
        names = [f"{name}/{frame:05d}.jpg" for frame in range(FRAMES)]
        videos.append({"id": number, "file_names": names, "height": SIZE[0], "width": SIZE[1]})
        for category, row in ((1, 4), (2 + number, 30)):
            found: dict[str, Any] = {"id": len(annotations), "video_id": number, "category_id": category}
            if name == "one":
                found["segmentations"] = [rle(square(frame, row)) for frame in range(FRAMES)]
            else:
                found["bboxes"] = [[5 + 6 * frame, row, 12, 10] for frame in range(FRAMES)]
            annotations.append(found)
    categories = [{"id": id, "name": name} for id, name in enumerate(("cat", "dog", "cow"), 1)]
    content = {"videos": videos, "annotations": annotations, "categories": categories}
    (tmp_path / "ours.json").write_text(json.dumps({**content, "info": {"license": "CC0"}}))
    return tmp_path / "ours.json"


def found(source: str, objects: str | None = None, **where: Any) -> Source:
    return find(source, None if objects is None else Part(type=objects), Where(**where))[1]


def run(classes: Path, **options: object) -> dict[str, Any]:
    source = found(str(classes), frames=classes.parent / "frames")
    config = AnnotateConfig.model_validate({"questions": {"type": "none"}, **options})
    return annotate(source, config, classes.parent / "out", split="val")


def truths(classes: Path) -> dict[str, Truth]:
    samples = VideoGCG(classes.parent / "out").samples("gcg", "val")
    return {sample.id: sample.load_truth() for sample in samples}


def endpoint(server: Server) -> dict[str, Any]:
    return {"type": "endpoint", "base_url": server.url, "model": "writer", "pause": 0, "price": [1, 2]}


def test_classes_with_masks_and_boxes_without_a_model(classes: Path) -> None:
    manifest = run(classes)
    assert manifest["licences"] == {"ours": "CC0"}
    counts = {key: manifest["counts"][key] for key in ("videos", "objects", "masks", "set_aside", "calls")}
    assert counts == {"videos": 2, "objects": 4, "masks": 4 * FRAMES, "set_aside": 0, "calls": 0}
    samples = VideoGCG(classes.parent / "out").samples("gcg", "val")
    for sample, other in zip(samples, ("a dog", "a cow"), strict=True):
        assert len(sample.open_video()) == FRAMES
        truth = sample.load_truth()
        assert truth.caption is not None and truth.caption.text == f"The video shows a cat and {other}."
        told = {truth.caption.phrase(span): span.tracks for span in truth.caption.spans}
        masks = {phrase: next(t for t in truth.tracks if (t.id,) == ids) for phrase, ids in told.items()}
        assert set(masks) == {"a cat", other}
        for frame in range(FRAMES):
            assert (masks["a cat"].mask(frame) == square(frame, 4)).all()
            assert (masks[other].mask(frame) == square(frame, 30)).all()


def test_answers_are_checked_and_refused_ones_asked_for_again(
    classes: Path,
    serve: Callable[..., Server],
) -> None:
    """One that is throttled, one that is no JSON, one with wrong ids; then a good one for each video."""
    server = serve(
        fails(429, Retry_After="0"), fails(200, b"{broken"), says("[A cat](0) and [a bird](9)."), says(GOOD)
    )
    manifest = run(classes, composer=endpoint(server))
    assert manifest["counts"]["set_aside"] == 0 and manifest["counts"]["calls"] == 3
    told = server.asked[3]["messages"]
    assert "no object 9" in told[-1]["content"] and "does not mention 1" in told[-1]["content"]
    assert "0: cat" in told[1]["content"]
    for truth in truths(classes).values():
        assert truth.caption is not None and truth.caption.text == "A red cat meets the dog."
        assert [truth.caption.phrase(span) for span in truth.caption.spans] == ["A red cat", "the dog"]


def test_an_endpoint_that_hangs_or_garbles_is_asked_again(
    classes: Path,
    serve: Callable[..., Server],
) -> None:
    def hangs(handler: Handler) -> None:
        time.sleep(1.5)
        says(GOOD)(handler)

    def half(handler: Handler) -> None:
        handler.send(200, b'{"choices": [{"mess', Content_Length="100")

    server = serve(hangs, half, fails(503), says(GOOD))
    manifest = run(classes, composer={**endpoint(server), "timeout": 0.5})
    assert manifest["counts"]["captions"] == 2 and len(server.asked) == 5
    assert manifest["cost"] == pytest.approx(
        (manifest["counts"]["prompt_tokens"] + 2 * manifest["counts"]["reply_tokens"]) / 1e6, abs=1e-6
    )


def test_what_is_never_answered_well_is_set_aside_with_the_reason(
    classes: Path,
    serve: Callable[..., Server],
) -> None:
    server = serve(says(GOOD), says("[A cat](0).\nLEFT OUT: 7"))
    manifest = run(classes, composer=endpoint(server), tries=2)
    assert (manifest["counts"]["captions"], manifest["counts"]["set_aside"]) == (1, 1)
    (line,) = (classes.parent / "out/annotate-val.aside.jsonl").read_text().splitlines()
    aside = json.loads(line)
    assert aside["item"] == "two" and "does not mention 1" in aside["problem"] and len(aside["answers"]) == 2
    assert len(truths(classes)) == 1


def test_objects_are_described_from_crops_and_the_caption_composed_of_that(
    classes: Path,
    serve: Callable[..., Server],
) -> None:
    def answers(handler: Handler) -> None:
        content = handler.server.asked[-1]["messages"][-1]["content"]
        says(GOOD if isinstance(content, str) else "It is shiny.")(handler)

    server = serve(answers)
    run(classes, describer=endpoint(server), composer=endpoint(server))
    parts = server.asked[0]["messages"][0]["content"]
    assert "a cat" in parts[0]["text"]
    assert all(part["image_url"]["url"].startswith("data:image/jpeg;base64,") for part in parts[1:])
    assert "0: cat; It is shiny." in server.asked[2]["messages"][1]["content"]
    content = json.loads((classes.parent / "out/video_gcg/instruction_data/val.json").read_text())
    steps = [step["step"] for step in content["videos"][0]["provenance"]["steps"]]
    assert steps == ["describe", "describe", "compose"]


def test_a_run_that_breaks_off_goes_on_where_it_was(
    classes: Path,
    serve: Callable[..., Server],
) -> None:
    broken = serve(says(GOOD), fails(403))
    with pytest.raises(GroundingError, match="HTTP 403"):
        run(classes, composer=endpoint(broken))
    healthy = serve(says(GOOD))
    assert run(classes, composer={**endpoint(broken), "base_url": healthy.url})["counts"]["captions"] == 2
    asked = len(healthy.asked)
    assert asked == 1  # the first video's answer was kept, though its endpoint has another address now
    assert run(classes, composer={**endpoint(broken), "base_url": healthy.url})["counts"]["captions"] == 2
    assert len(healthy.asked) == asked


def test_expressions_about_several_objects_name_those(tmp_path: Path) -> None:
    registry().load("dataset", "sprites")().prepare(tmp_path, split="val", seed=5, videos=4)
    source = found("sprites:val", data_root=tmp_path)
    items = [load(Notes(Kept(tmp_path))) for load in source.items]
    assert all(len(item.things) >= 2 for item in items)
    groups = [group for item in items for group in item.together]
    assert groups and all(len(group.things) >= 2 for group in groups)
    manifest = annotate(source, AnnotateConfig(), tmp_path / "out", split="val")
    assert manifest["counts"]["captions"] == 4 and "OpenMoji" in manifest["licences"]["sprites:val"]
    boxes = found("sprites:val", "sentences", data_root=tmp_path)
    made = annotate(boxes, AnnotateConfig(), tmp_path / "boxes", split="val")
    assert made["counts"]["captions"] == len(boxes.items) > 0


def test_long_videos_are_thinned(classes: Path) -> None:
    run(classes, frames=3)
    for sample in VideoGCG(classes.parent / "out").samples("gcg", "val"):
        assert len(sample.open_video()) == 3
        assert {len(track) for track in sample.load_truth().tracks} == {3}


def test_a_language_model_of_a_plugin_writes(classes: Path) -> None:
    """Untrained, it writes nothing that can be used: its answers are kept with what is wrong with them."""
    pytest.importorskip("grounding_videoglamm")
    from grounding_core.training.tokenizer import train_tokenizer

    tokenizer = classes.parent / "tokenizer"
    train_tokenizer(["A red cat."] * 4, tokenizer, vocabulary=400, special=["<|end|>"])
    model = {"type": "phi3", "tokenizer": str(tokenizer), "vocabulary": 400, "width": 32, "mlp_width": 32}
    model |= {"layers": 1, "heads": 2, "context": 2048}
    composer = {"type": "language_model", "model": model, "max_tokens": 5}
    manifest = run(classes, composer=composer, tries=2)
    assert (manifest["counts"]["set_aside"], manifest["counts"]["calls"]) == (2, 4)
    aside = json.loads((classes.parent / "out/annotate-val.aside.jsonl").read_text().splitlines()[0])
    assert len(aside["answers"]) == 2 and aside["problem"].startswith("After 2 answers: ")
    with pytest.raises(RecipeError, match="layer"):
        run(classes, composer={**composer, "model": {**model, "layer": 1}})


def _yaml(classes: Path, content: object) -> Path:
    path = classes.parent / "recipe.yaml"
    path.write_text(json.dumps(content))
    return path


def test_the_command_and_its_refusals(
    classes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = classes.parent / "made"
    frames = str(classes.parent / "frames")
    command = ["grounding", "annotate", str(classes), "--frames", frames, "--out", str(out), "--videos", "1"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code and "1 captions and 5 questions about 2 objects" in capsys.readouterr().out
    with pytest.raises(DataError, match="--frames"):
        found(str(classes))
    with pytest.raises(RecipeError, match="tries"):
        AnnotateConfig.load(_yaml(classes, {"tries": 0}))


TWO = Item("x", lambda: pytest.fail("no video is needed"), (Thing(0, "cat"), Thing(1, "dog")))
VIEW = View(Video.open(np.zeros((1, *SIZE, 3), np.uint8)), {})
MARKS = Marks(ComponentConfig())


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (GOOD, None),
        ("[The cat](0) sleeps.\nLEFT OUT: 1", None),
        ("[Both](0, 1) sleep.", None),
        ("[The cat](0) sleeps.", "does not mention 1"),
        ("[The cat](0) and [a](1) and [b](2).", "no object 2"),
        ("[The cat](zero) sleeps.", "can't be read"),
        ("[The cat](0) and [the dog](1) and [more.", "brackets"),
        ("A cat and a dog.", "No words are marked"),
        ("", "no caption"),
    ],
)
def test_check(answer: str, problem: str | None) -> None:
    problems = " ".join(MARKS.check(answer, TWO, VIEW).problems)
    assert (problems == "") if problem is None else (problem in problems)


@given(st.lists(st.text(alphabet="ab c,.[]()", max_size=12), min_size=1, max_size=4))
def test_a_caption_without_a_model_always_passes(names: list[str]) -> None:
    item = Item("x", TWO.open_video, tuple(Thing(id, name) for id, name in enumerate(names)))
    assert MARKS.check(plain(item, {}), item, VIEW).problems == ()


def test_words_are_counted_between_blanks() -> None:
    caption = Caption("A cat sees two dogs.", (Span(0, 5, (4,)), Span(11, 19, (1, 2))))
    assert words(caption) == ("A cat sees two dogs.", [0, 1, 3, 3, 4, 4], [4, 4, 1, 2, 1, 2])
