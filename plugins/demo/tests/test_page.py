"""The demo as a visitor uses it: a real browser, a real server, a clip of our own."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grounding_core.config import Recipe
from grounding_core.plugins import registry

pytestmark = pytest.mark.slow
WAIT = 120_000
"""Milliseconds; the first question loads the model."""

# Masks are read off the canvas above the video: how many of its pixels are painted.
PAINTED = """() => {
  const canvas = document.querySelector('#stage canvas');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return data.filter((value, place) => place % 4 === 3 && value > 0).length;
}"""


@pytest.fixture(scope="module")
def server(start: Callable[..., str], clip: Path) -> str:
    return start("demo", "--clips", str(clip.parent), "--max-megabytes", "1", "--max-seconds", "5")


# What the answer says while it is written, noted by the page itself: it may change faster than one can look.
NOTING = """() => {
  window.noted = [];
  new MutationObserver(() => {
    const text = document.querySelector('.turn.writing .gp-text')?.textContent;
    if (text && text !== window.noted.at(-1)) window.noted.push(text);
  }).observe(document.querySelector('#stage'), { childList: true, subtree: true });
}"""


def ask(page: Any, text: str, answers: int) -> None:
    page.evaluate(NOTING)
    page.locator("#question textarea").fill(text, timeout=WAIT)
    page.locator("#ask").click(timeout=WAIT)
    page.wait_for_function(
        f"document.querySelectorAll('.turn .files a').length >= {3 * answers}", timeout=WAIT
    )
    page.wait_for_function("!document.querySelector('#stage .busy')", timeout=WAIT)


@pytest.mark.parametrize(("name", "width", "scheme"), [("desktop", 1280, "light"), ("phone", 390, "dark")])
def test_upload_ask_look_click_export(
    browser: Any, server: str, clip: Path, name: str, width: int, scheme: str, tmp_path: Path
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    asked, faults = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(server, timeout=WAIT)
    page.locator("#upload").wait_for(timeout=WAIT)
    page.locator("input[type=file]").first.set_input_files(clip)
    page.locator("#stage video").wait_for(timeout=WAIT)
    ask(page, "What moves right?", 1)
    ask(page, "", 2)
    noted = page.evaluate("window.noted")
    assert noted[0] == "…" and len(noted) >= 2, "the answer is shown while it is written"
    final = page.locator(".turn .gp-text").first.inner_text()
    assert len(noted[1]) <= len(noted[-1]) <= len(final) + 8
    assert page.locator(".turn .question").first.inner_text().startswith("Describe the video.")
    page.screenshot(path=tmp_path / f"{name}-{scheme}.png", full_page=True)

    # The timeline says what the answer's JSON says, and so does the picture.
    page.locator(".turn .files a", has_text="answer.json").first.wait_for()
    address = page.locator(".turn .files a", has_text="answer.json").first.get_attribute("href")
    answer = json.load(urllib.request.urlopen(server + address))
    assert page.locator("#stage .gp-bar").count() == len(answer["tracks"])
    page.locator(".controls input").fill("5")
    seen = [track for track in answer["tracks"] if track["frames"][5] is not None]
    assert bool(page.evaluate(PAINTED)) == bool(seen)
    phrases = page.locator(".turn >> nth=0").locator(".gp-phrase")
    if phrases.count():
        phrases.first.click()
        assert phrases.first.get_attribute("aria-pressed") == "true"
        assert page.locator("#stage .gp-bar:not(.gp-faded)").count() >= 1
        phrases.first.click()
        assert phrases.first.get_attribute("aria-pressed") == "false"

    for link in page.locator(".turn .files a").all():
        with urllib.request.urlopen(server + link.get_attribute("href")) as file:
            assert file.read()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults == []
    hosts = {url.split("/")[2] for url in asked if url.startswith("http")}
    assert hosts == {server.removeprefix("http://")}, "the page needs no network"
    page.close()


def test_every_recipe_of_the_list_answers_or_says_why_not(browser: Any, server: str, clip: Path) -> None:
    page = browser.new_page()
    page.goto(server, timeout=WAIT)
    page.locator("#upload").wait_for(timeout=WAIT)
    page.locator("input[type=file]").first.set_input_files(clip)
    page.locator("#stage video").wait_for(timeout=WAIT)
    picker = page.locator("#recipe input")
    picker.click()
    offered = page.locator("#recipe [role=option]").all_inner_texts()
    names = [text.replace("✓", "").strip() for text in offered]
    assert {name.split(" ")[0] for name in names} == set(registry().names("recipe"))
    answers = 0
    for place, name in enumerate(names):
        picker.blur()
        picker.click()
        page.locator("#recipe [role=option]").nth(place).click(force=True)  # the list glides in
        if Recipe.load(name.split(" ")[0]).has_weights:
            answers += 1
            ask(page, "What moves right?", answers)
            # The newest is on top.
            assert name in page.locator(".turn").first.inner_text()
        else:
            assert name.endswith("(brings no weights)")
            page.locator("#question textarea").fill("What moves right?")
            page.locator("#ask").click()
            refused = page.get_by_text(f"{name.split(' ')[0]} names no checkpoint")
            refused.first.wait_for(timeout=WAIT)
            page.locator(".toast-close").first.click()
            refused.first.wait_for(state="detached", timeout=WAIT)
            assert page.locator("#question textarea").input_value() == "What moves right?", (
                "it can be asked again"
            )
    assert answers >= 1
    page.close()


def test_refusals_are_told(browser: Any, server: str, tmp_path: Path) -> None:
    (tmp_path / "words.mp4").write_text("no video")
    page = browser.new_page()
    page.goto(server, timeout=WAIT)
    page.locator("#ask").click()
    page.get_by_text("Choose a clip first.").wait_for(timeout=WAIT)
    page.locator("input[type=file]").first.set_input_files(tmp_path / "words.mp4")
    page.get_by_text("can't be opened").wait_for(timeout=WAIT)
    page.close()


def test_files_of_others_stay_out_of_reach(server: str) -> None:
    for path in ("/media/", "/media/..%2f..%2fetc/passwd", "/gradio_api/file=/etc/passwd"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(server + path)
        assert refused.value.code in (403, 404)
