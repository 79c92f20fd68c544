"""The review page as a reviewer uses it: a real browser, a real server, by keyboard and by mouse."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from test_page import WAIT

from benchmarks.annotate.items import Item, Source, Thing
from benchmarks.annotate.pipeline import AnnotateConfig, annotate
from grounding_core import Video
from grounding_core.config import Part
from grounding_core.masks import MaskTrack

SIZE, FRAMES = (48, 64), 6


def square(frame: int, row: int) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[row : row + 10, 5 + 6 * frame : 17 + 6 * frame] = True
    return mask


def item(name: str) -> Item:
    pictures = np.full((FRAMES, *SIZE, 3), 90, dtype=np.uint8)
    for frame in range(FRAMES):
        pictures[frame][square(frame, 4)] = (220, 30, 30)
        pictures[frame][square(frame, 30)] = (30, 30, 220)
    # The dog's masks are those of the cat, a pixel to the side: an audit finds that.
    masks = [[square(f, 4) for f in range(FRAMES)], [np.roll(square(f, 4), 1, axis=1) for f in range(FRAMES)]]
    things = [
        Thing(id, called, track=MaskTrack.from_masks(id, shown))
        for id, (called, shown) in enumerate(zip(("cat", "dog"), masks, strict=True))
    ]
    return Item(name, lambda: Video.open(pictures), tuple(things))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    items = [lambda notes, name=name: item(name) for name in ("one", "two")]
    config = AnnotateConfig(questions=Part(type="none"))
    annotate(Source("ours", "CC0", items, ["one", "two"]), config, folder, split="val")
    return folder


def changes(out: Path) -> list[dict[str, Any]]:
    path = out / "changes.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def test_the_server_answers_and_refuses(start: Callable[..., str], data: Path, tmp_path: Path) -> None:
    out = tmp_path / "review"
    server = start("review", str(data), "--out", str(out), "--who", "Ada", "--masks", "{type: grabcut}")
    listed = httpx.get(f"{server}/items").json()
    assert listed["who"] == "Ada" and [one["status"] for one in listed["items"]] == ["open", "open"]
    shown = httpx.get(f"{server}/items/0").json()
    assert shown["text"] == "The video shows a cat and a dog." and shown["video"]["frames"] == FRAMES
    assert httpx.get(f"{server}/items/0/frames/2").headers["content-type"] == "image/jpeg"
    dog = shown["tracks"][1]["id"]
    drawn = {"frame": 2, "track": dog, "points": [[23, 35, 1]]}
    redrawn = httpx.post(f"{server}/items/0/redraw", json=drawn, timeout=60).json()
    assert [track["id"] for track in redrawn["tracks"]] == [track["id"] for track in shown["tracks"]]
    (kept,) = changes(out)
    assert kept["who"] == "Ada" and kept["values"]["drawn"]["points"] == [[23.0, 35.0, 1]] and kept["when"]
    for path, content, said in (
        ("items/0/changes", {"action": "link", "values": {"span": 0, "tracks": [99]}}, "no object 99"),
        ("items/0/changes", {"action": "rename", "values": {"who": "Eve"}}, "no value 'who'"),
        (
            "items/0/changes",
            {"action": "accept", "values": {"item": "x", "cls": 1}},
            "no value 'item', 'cls'",
        ),
        ("items/0/changes", {"action": "rename"}, "lacks the value 'span'"),
        (
            "items/0/changes",
            {"action": "rename", "values": {"span": "a", "words": "b"}},
            "malformed: invalid",
        ),
        ("items/0/changes", {"action": "mask", "values": {"track": 1, "masks": 5}}, "malformed: 'int'"),
        ("items/9/changes", {"action": "accept"}, "no item 9"),
        ("items/0/redraw", {"frame": 99, "box": [0, 0, 5, 5]}, "no frame 99"),
        ("items/0/redraw", {"frame": 0}, "Nothing points"),
    ):
        reply = httpx.post(f"{server}/{path}", json=content)
        assert reply.status_code == 422 and said in reply.json()["problem"]
    archive = httpx.get(f"{server}/items/0/cvat.zip").content
    taken = httpx.post(f"{server}/cvat", files={"file": ("a.zip", archive)}).json()
    assert taken == {"changes": 0, "place": None}
    assert len(changes(out)) == 1
    elsewhere = httpx.post(f"{server}/export", headers={"Origin": "http://elsewhere.example"})
    assert elsewhere.status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (420, "dark")])
def test_an_item_is_reviewed_by_keyboard(
    browser: Any, start: Callable[..., str], data: Path, width: int, scheme: str, tmp_path: Path
) -> None:
    from benchmarks.audit import auditing, findings

    findings.write(auditing.audit(auditing.below(data)), tmp_path / "audit")
    out = tmp_path / "review"
    server = start("review", str(data), "--audit", str(tmp_path / "audit"), "--out", str(out), "--who", "Ada")
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(server, timeout=WAIT)
    page.locator("#caption .phrase").first.wait_for(timeout=WAIT)
    assert "duplicate-objects" in page.locator("#faults").inner_text()

    def press(*keys: str, count: int | None = None) -> None:
        """Press keys, and wait until so many changes are kept and shown."""
        for key in keys:
            page.keyboard.press(key)
        end = time.monotonic() + WAIT / 1000
        while count is not None and len(changes(out)) < count:
            assert time.monotonic() < end, page.locator("#toast").inner_text()
            page.wait_for_timeout(100)
        page.wait_for_function("!document.body.hasAttribute('aria-busy')", timeout=WAIT)

    press("r")
    page.keyboard.type("the red square")
    press("Enter", count=1)
    assert page.locator("#caption").inner_text() == "The video shows the red square and a dog."
    press("Tab", "l", "1", "Enter", count=2)
    press("u", count=3)
    # The dog is drawn anew by a box, around the blue square.
    press("2", "b")
    box = page.locator("#canvas").bounding_box()
    scale = min(box["width"] / SIZE[1], box["height"] / SIZE[0])
    left = box["x"] + (box["width"] - SIZE[1] * scale) / 2
    top = box["y"] + (box["height"] - SIZE[0] * scale) / 2
    page.screenshot(path=os.environ.get("REVIEW_PICTURES", str(tmp_path)) + f"/box-{scheme}.png")
    page.mouse.move(left + 3 * scale, top + 28 * scale)
    page.mouse.down()
    page.mouse.move(left + 10 * scale, top + 35 * scale)
    page.mouse.move(left + 19 * scale, top + 42 * scale)
    page.mouse.up()
    press(count=4)
    press("e")
    page.keyboard.press("Control+A")
    page.keyboard.type("[The red square](1) is above [the blue one](2).")
    press("Enter", count=5)
    page.screenshot(
        path=os.environ.get("REVIEW_PICTURES", str(tmp_path)) + f"/review-{scheme}.png", full_page=True
    )
    press("a", count=6)
    page.get_by_text("1 of 2 decided").wait_for(timeout=WAIT)
    press("d", count=7)
    page.get_by_text("2 of 2 decided").wait_for(timeout=WAIT)
    made = changes(out)
    assert [one["action"] for one in made] == ["rename", "link", "undo", "mask", "caption", "accept", "drop"]
    assert {one["who"] for one in made} == {"Ada"}
    page.locator("#export").click()
    page.get_by_text("1 captions and 0 questions written").wait_for(timeout=WAIT)
    content = json.loads((out / "reviewed/video_gcg/instruction_data/train.json").read_text())
    assert content["videos"][0]["dense_cap"]["caption"] == "The red square is above the blue one."
    shown = httpx.get(f"{server}/items/0").json()
    from grounding_core.serial import from_json

    dog = from_json({**shown, "meta": {}}).tracks[1]
    true = np.stack([square(frame, 30) for frame in range(FRAMES)])
    assert (dog.masks() & true).sum() > 0.8 * (dog.masks() | true).sum()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults == []
    page.close()
