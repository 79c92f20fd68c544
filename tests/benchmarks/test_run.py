"""`python -m benchmarks.run` as a user sees it: results, resuming, failures, refusals."""

import json
import re
import signal
import time
from pathlib import Path

import pytest
from harness import Harness, Page, comparable, lines

from benchmarks.run import app

TWO_TASKS = ("--tasks", "refseg,grounding", "--datasets", "mevis:valid_u,vidstg:test")


@pytest.fixture
def command(harness: Harness, official: Path) -> tuple[str | Path, ...]:
    return ("--recipe", harness.recipe, "--data-root", official)


def test_three_tasks_from_one_command(harness: Harness, command: tuple[str, ...], official: Path) -> None:
    sets = ("--datasets", "video-gcg,vidstg,mevis")
    ran = harness.run(*command, *sets)
    assert ran.returncode == 0, ran.stderr
    assert all(len(line) <= 80 for line in ran.stdout.splitlines() if not line.startswith("Report:"))
    (folder,) = (harness.folder / "runs").iterdir()
    report = comparable(folder)
    values = {r["task"]: r["predictors"]["model"]["values"] for r in report["results"]}
    # The bright box moves right: the toy finds it nearly to the pixel, JPEG and H.264 aside.
    assert values["grounding"]["tiou"]["value"] == pytest.approx(0.8)
    assert values["grounding"]["gt_viou"]["value"] > 0.9
    assert values["gcg"]["miou"]["value"] == pytest.approx(0.5, abs=0.05)
    assert values["gcg"]["recall"]["value"] == 0.5
    assert 0 < values["gcg"]["meteor"]["value"] < 1
    assert values["gcg"]["cider"]["value"] is not None
    by_kind = {group["value"]: group for group in report["results"][2]["breakdown"]["kind"]}
    assert by_kind["motion"]["values"]["j"]["value"] > 0.9
    assert by_kind["motion"]["n"] == 3
    for result in report["results"]:
        assert next(iter(result["predictors"])) == "model" and len(result["predictors"]) == 5
        assert all(found["errors"] == 0 for found in result["predictors"].values())
    # One encoding a video and task, however many questions.
    assert len(harness.log.read_text().splitlines()) == 9
    page = (folder / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    for number, result in enumerate(report["results"]):
        shelf = Page(page).index(f"r{number}")
        assert len(shelf["ids"]) == result["n"] == shelf["kept"]
    assert "| **toy** |" in (folder / "report.md").read_text()

    # A finished run is only scored again: no model, no torch, the same report.
    before = comparable(folder)
    code = (
        "import sys; from benchmarks.score import app\n"
        f"try: app([{str(folder)!r}])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules and 'toy_model' not in sys.modules"
    )
    scored = harness.python(code)
    assert scored.returncode == 0, scored.stderr
    assert comparable(folder) == before
    assert len(harness.log.read_text().splitlines()) == 9


def test_interrupting_says_how_to_go_on(harness: Harness, command: tuple[str, ...]) -> None:
    out = harness.folder / "out"
    process = harness.start(*command, *TWO_TASKS, "--set", "model.seconds=0.2", "--out", out)
    while lines(out) < 1 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The same command goes on from here." in err and "Traceback" not in err


def test_failed_samples_count_as_misses_until_they_are_retried(
    harness: Harness, command: tuple[str, ...]
) -> None:
    out = harness.folder / "out"
    given = (*command, "--tasks", "refseg", "--datasets", "mevis:valid_u", "--out", out)
    ran = harness.run(*given, TOY_FAILS_ON="moves right")
    assert ran.returncode == 0, ran.stderr
    assert "3 of 9 samples failed and count as misses" in " ".join(ran.stdout.split())
    (failed,) = comparable(out)["results"]
    assert failed["predictors"]["model"]["errors"] == 3
    assert failed["failures"][0] == {"id": "clip0/0", "error": "RuntimeError: the toy broke"}
    assert "the toy broke" in (out / "report.html").read_text()
    store = next(out.glob("predictions/*.model-*.jsonl")).read_text()
    assert "Traceback (most recent call last)" in store
    before = comparable(out)
    assert harness.run(*given).returncode == 0
    assert comparable(out) == before
    assert harness.run(*given, "--retry-errors").returncode == 0
    (mended,) = comparable(out)["results"]
    assert mended["predictors"]["model"]["errors"] == 0 and mended["failures"] == []
    values = [r["predictors"]["model"]["values"]["j"]["value"] for r in (failed, mended)]
    assert values[1] > values[0] + 0.3


def test_a_task_without_a_single_answer_is_a_failure(harness: Harness, command: tuple[str, ...]) -> None:
    ran = harness.run(*command, *TWO_TASKS, TOY_FAILS_ON="x")
    assert ran.returncode == 1
    assert "Every sample of a task failed." in ran.stderr


def test_a_limited_run_is_the_beginning_of_the_whole(harness: Harness, command: tuple[str, ...]) -> None:
    out = harness.folder / "out"
    given = (*command, *TWO_TASKS, "--out", out)
    assert harness.run(*given, "--limit", "2").returncode == 0
    assert [(r["n"], r["total"]) for r in comparable(out)["results"]] == [(2, 9), (2, 6)]
    assert lines(out) == 4
    assert harness.run(*given).returncode == 0
    assert [r["n"] for r in comparable(out)["results"]] == [9, 6]
    assert lines(out) == 15


def test_a_recipe_that_cannot_be_built_leaves_the_folder_as_it_was(
    harness: Harness, command: tuple[str, ...]
) -> None:
    out = harness.folder / "out"
    given = (*command, "--tasks", "refseg", "--datasets", "mevis:valid_u", "--out", out)
    assert harness.run(*given, "--limit", "2").returncode == 0
    before = {path: path.read_text() for path in out.glob("*.json")}
    for broken in ("model.type=nosuch", "model.seconds=long"):
        ran = harness.run(*given, "--limit", "3", "--set", broken)
        assert ran.returncode == 2 and "1 problem" in ran.stderr
        assert {path: path.read_text() for path in out.glob("*.json")} == before
    assert harness.score(out).returncode == 0
    assert comparable(out)["results"][0]["predictors"]["model"]["errors"] == 0


def test_a_random_few_are_part_of_a_larger_random_few(harness: Harness, command: tuple[str, ...]) -> None:
    given = (*command, "--tasks", "refseg", "--datasets", "mevis:valid_u", "--shuffle-seed", "5")
    drawn = []
    for limit in (2, 4):
        out = harness.folder / str(limit)
        assert harness.run(*given, "--limit", str(limit), "--out", out).returncode == 0
        drawn.append(json.loads((out / "scores" / "refseg.mevis.valid_u.json").read_text())["ids"])
    assert len(drawn[0]) == 2 and len(drawn[1]) == 4 and set(drawn[0]) < set(drawn[1])
    assert (
        drawn[1] == sorted(drawn[1]) and drawn[1] != [f"clip{v}/{e}" for v in (0, 1) for e in (0, 1, 2)][:4]
    )


def test_named_samples_only(harness: Harness, command: tuple[str, ...]) -> None:
    listed = harness.folder / "ids.txt"
    listed.write_text("clip2/1\nclip0/2\n")
    for given in ("clip2/1, clip0/2", str(listed)):
        out = harness.folder / f"out{len(given)}"
        # Split and default split are the same, and are reported once.
        sets = ("--datasets", "mevis:valid_u,vidstg:test,mevis")
        ran = harness.run(*command, "--tasks", "refseg,grounding", *sets, "--ids", given, "--out", out)
        assert ran.returncode == 0, ran.stderr
        (result,) = comparable(out)["results"]
        assert (result["task"], result["n"], result["total"]) == ("refseg", 2, 9)


@pytest.mark.parametrize(
    ("change", "problem", "remedy"),
    [
        (("--tasks", "refsegg"), "no task 'refsegg'", "Did you mean 'refseg'?"),
        (("--tasks", " , "), "No task is named", "at least one"),
        (("--datasets", "mevi"), "no dataset 'mevi'", "'mevis'"),
        (("--datasets", "sprites:tset", "--data-root", ""), "no split 'tset'", "train, val, test"),
        (("--datasets", "mevis:nowhere"), "meta_expressions.json is missing", "https://"),
        (("--datasets", "mevis", "--data-root", ""), "'mevis' is read from disk", "--data-root"),
        (("--datasets", "vidstg"), "has samples for the task 'refseg'", "grounding plugins"),
        (("--ids", "clip0/9"), "sample 'clip0/9'", "look like 'clip0/0'"),
        (("--shuffle-seed", "1"), "--shuffle-seed draws", "--limit"),
        (("--data-root", "nowhere", "--datasets", "sprites"), "There is no folder", "--data-root"),
        (("--recipe", "toi"), "no recipe 'toi'", "Installed"),
        (("--set", "model=3"), "model", "should be"),
    ],
)
def test_wrong_names_end_in_one_line(
    harness: Harness,
    official: Path,
    change: tuple[str, ...],
    problem: str,
    remedy: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {"--recipe": str(harness.recipe), "--tasks": "refseg", "--datasets": "mevis:valid_u"}
    given |= {"--data-root": str(official), **dict(zip(change[::2], change[1::2], strict=True))}
    with pytest.raises(SystemExit) as end:
        app([part for name, value in given.items() if value for part in (name, value)])
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    message = err.strip().splitlines()[-1]
    assert problem in message and remedy in message
