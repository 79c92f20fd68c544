"""The samples of a report: what is kept within a budget, and what is shown where something is missing."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from harness import Page
from PIL import Image

from benchmarks.report.browser import Answers, Column, Shelf, data, link, place
from benchmarks.report.page import opening
from benchmarks.store import Prediction
from grounding_core import GroundedText, MaskTrack, Query, Span, Video
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Sample, Truth

SIZE = (120, 160)
FRAMES = 12


def moving(id: int, shift: int = 0, frames: int = FRAMES) -> MaskTrack:
    masks = np.zeros((frames, *SIZE), bool)
    for index in range(frames):
        masks[index, 40:80, 5 * index + shift : 5 * index + shift + 40] = True
    return MaskTrack.from_masks(id, masks)


def noise(seed: int) -> Video:
    """Pictures that hardly compress."""
    return Video.open(np.random.default_rng(seed).integers(0, 255, (FRAMES, *SIZE, 3), np.uint8))


def gone() -> Video:
    raise DataError("The video has moved.", "Bring it back.")


def sample(number: int, *, there: bool = True) -> Sample:
    return Sample(
        id=f"v{number // 2}/{number % 2}",
        video_id=f"v{number // 2}",
        query=Query(f"box <{number}>"),
        open_video=(lambda: noise(number // 2)) if there else gone,
        load_truth=lambda: Truth(tracks=(moving(70 + number),), annotated=(0, 5, 11)),
        tags={"kind": "even" if number % 2 == 0 else "odd"},
    )


def shelf(count: int, *, there: bool = True) -> Shelf:
    samples = [sample(number, there=there) for number in range(count)]
    answer = GroundedText("It is a box.", (Span(6, 11, (0,)),), (moving(0, 3),))
    said: dict[str, Prediction] = {each.id: Prediction(each.id, answer, 0.1) for each in samples}
    said["v0/0"] = Prediction("v0/0", None, 0.1, "it broke")
    if count > 1:
        said["v0/1"] = Prediction("v0/1", GroundedText("short", (), (moving(0, frames=3),)), 0.1)
    values: list[float | None] = [number / count for number in range(count)]
    values[0] = None
    answers = Answers("answer", said, {"v0/0": "it broke"})
    tags = {each.id: each.tags for each in samples}
    return Shelf("r0", samples, [answers], [Column("model.jf", "J&F", True, values)], tags)


def test_everything_is_there_at_its_size() -> None:
    page = Page("".join(data([shelf(4)], 30)))
    index = page.index("r0")
    assert index["ids"] == ["v0/0", "v0/1", "v1/0", "v1/1"] and index["kept"] == 4
    assert index["columns"][0]["values"] == [None, 0.25, 0.5, 0.75]
    assert index["tags"]["kind"] == {"known": ["even", "odd"], "rows": [0, 1, 0, 1]}
    assert index["errors"] == {"0": "it broke"}
    film = page.film("r0", index["films"][3])
    assert film["frames"] == list(range(FRAMES)) and film["size"] == list(SIZE)
    picture = Image.open(io.BytesIO(base64.b64decode(film["pictures"][5])))
    assert picture.size == (SIZE[1], SIZE[0])
    truth, answer = page.layers("r0", 3)
    assert truth["tracks"][0]["id"] == 0, "numbers of the data set are replaced by small ones"
    assert answer["text"] == "It is a box." and answer["spans"] == [[6, 11, [0]]]
    assert answer["tracks"][0]["masks"][4] == moving(0, 3).frames[4].decode()  # type: ignore[union-attr]


def test_what_failed_or_does_not_fit_is_told() -> None:
    page = Page("".join(data([shelf(2)], 30)))
    assert page.layers("r0", 0)[1]["note"] == "it broke"
    misfit = page.layers("r0", 1)[1]
    assert misfit["text"] == "short" and "3 frames" in misfit["note"] and not misfit["tracks"]


def test_masks_play_over_plain_ground_where_the_video_has_gone() -> None:
    page = Page("".join(data([shelf(2, there=False)], 30)))
    assert page.film("r0", 0)["pictures"] == [] and page.film("r0", 0)["size"] == list(SIZE)
    assert page.layers("r0", 0)[0]["tracks"][0]["masks"][0]


@pytest.mark.parametrize("count", [60, 200])
def test_size_is_bounded_and_the_worst_are_kept(count: int) -> None:
    text = "".join(data([shelf(count)], 1))
    page = Page(text)
    index = page.index("r0")
    assert len(text) < 1.1e6
    assert 0 < index["kept"] < count and len(index["ids"]) == count
    films = {name for name in page.scripts if "-f" in name}
    assert "r0-f0" in films and f"r0-f{count // 2 - 1}" not in films
    # Annotated frames are the ones that are shown, where not all can be.
    assert set(page.film("r0", 0)["frames"]) >= {0, 5, 11} or index["frames"] == 3


def test_links_say_what_to_show() -> None:
    made = link("r0", "<b>45.6</b>", {"sort": "model.jf", "tag": "kind", "value": 'a "b"'})
    assert 'href="#r0"' in made and "&quot;a \\&quot;b\\&quot;&quot;" in made and "<b>45.6</b>" in made


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_browsing_in_a_real_browser(tmp_path: Path, width: int, scheme: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    found = shelf(30)
    to_errors = link("r0", "1 error", {"sort": "model.jf", "errors": "1"})
    to_odd = link("r0", "odd", {"sort": "model.jf", "down": "1", "tag": "kind", "value": "odd"})
    body = f"{opening('a report')}<p>{to_errors} {to_odd}</p>{place(found, 'boxes')}</main>"
    (tmp_path / "page.html").write_text(f"{body}{''.join(data([found], 30))}</body></html>", encoding="utf-8")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto((tmp_path / "page.html").as_uri())
        cards, count = page.locator(".sample"), page.locator(".pages output").first
        page.locator(".sample canvas").first.wait_for()
        assert cards.count() == 12 and "30 of 30 samples · page 1 of 3" in count.inner_text()
        assert cards.first.locator(".question").inner_text() == "box <1>", "worst first; without a value last"

        page.get_by_role("button", name="Next").first.click()
        assert "page 2 of 3" in count.inner_text()
        page.get_by_role("link", name="odd").click()
        assert "15 of 30 samples" in count.inner_text()
        assert cards.first.locator(".question").inner_text() == "box <29>"
        page.get_by_role("link", name="1 error").click()
        assert cards.count() == 1 and "it broke" in cards.first.inner_text()
        page.get_by_role("button", name="Clear").click()
        page.get_by_role("searchbox").fill("v7/")
        assert cards.count() == 2
        cards.first.locator("canvas").first.wait_for()

        card = cards.first
        card.get_by_role("slider", name="Frame").fill("4")
        shown = card.get_by_role("img", name="answer, frame 5 of 12: masks 0")
        shown.wait_for()
        card.get_by_role("button", name="Play").click()
        page.wait_for_function("document.querySelector('.sample input[type=range]').value !== '4'")
        card.get_by_role("button", name="Pause").click()
        phrase = card.locator(".gp-phrase")
        phrase.focus()
        page.keyboard.press("Enter")
        assert card.locator(".gp-phrase").get_attribute("aria-pressed") == "true"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert faults == []
        chromium.close()
