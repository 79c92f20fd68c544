"""`python -m benchmarks.run` as a user sees it: results, resuming, failures, refusals."""

import json
import random
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from harness import Harness

from benchmarks.run import app

TWO_TASKS = ("--tasks", "refseg,grounding", "--datasets", "mevis:valid_u,vidstg:test")


def comparable(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    del report["timing"]
    return report


def lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") - 1 for path in folder.glob("predictions/*.model-*.jsonl"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that a refused run must leave as it was."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


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
    assert page.count("data:image/jpeg") > 20
    assert not re.search(r"(src|href)=\"(?!data:|#)", page) and "<script" not in page
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


def test_killed_again_and_again_gives_the_same_report(harness: Harness, command: tuple[str, ...]) -> None:
    slow = (*command, *TWO_TASKS, "--set", "model.seconds=0.05")
    whole, broken = harness.folder / "whole", harness.folder / "broken"
    assert harness.run(*slow, "--out", whole).returncode == 0
    drawn = random.Random(time.time_ns())
    total = lines(whole)
    for wanted in sorted(drawn.sample(range(1, total), 3)):
        process = harness.start(*slow, "--out", broken)
        while lines(broken) < wanted and process.poll() is None:
            time.sleep(0.005)
        time.sleep(drawn.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    torn = next(broken.glob("predictions/*.model-*.jsonl"))
    with torn.open("ab") as handle:
        handle.write(b'{"id": "clip2/2", "text": "half a li')
    assert harness.run(*slow, "--out", broken).returncode == 0
    assert comparable(broken) == comparable(whole)
    assert lines(broken) == total


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
        ran = harness.run(*command, *TWO_TASKS, "--ids", given, "--out", out)
        assert ran.returncode == 0, ran.stderr
        (result,) = comparable(out)["results"]
        assert (result["task"], result["n"], result["total"]) == ("refseg", 2, 9)


def test_data_that_changed_under_a_run_is_refused(harness: Harness, official: Path) -> None:
    root, out = harness.folder / "data", harness.folder / "out"
    shutil.copytree(official / "mevis", root / "mevis")
    given = ("--recipe", harness.recipe, "--data-root", root, "--out", out)
    given = (*given, "--tasks", "refseg", "--datasets", "mevis:valid_u")
    assert harness.run(*given).returncode == 0
    before = contents(out)
    questions, masks = (root / "mevis/valid_u" / name for name in ("meta_expressions.json", "mask_dict.json"))
    hidden = json.loads(masks.read_text())
    hidden["1"][0] = None
    asked = questions.read_text().replace("moves right", "moves left")
    for path, changed in ((questions, asked), (masks, json.dumps(hidden))):
        kept = path.read_text()
        path.write_text(changed)
        ran = harness.run(*given)
        assert ran.returncode == 2 and "changed since" in ran.stderr, ran.stderr
        assert contents(out) == before
        path.write_text(kept)
    assert harness.run(*given).returncode == 0


def test_two_processes_do_not_share_a_folder(harness: Harness, command: tuple[str, ...]) -> None:
    out = harness.folder / "out"
    first = harness.start(*command, *TWO_TASKS, "--set", "model.seconds=0.5", "--out", out)
    while lines(out) < 1 and first.poll() is None:
        time.sleep(0.01)
    second = harness.run(*command, *TWO_TASKS, "--set", "model.seconds=0.5", "--out", out)
    first.kill()
    first.communicate()
    assert second.returncode == 2
    assert f"in use by process {first.pid}" in second.stderr


@pytest.mark.parametrize(
    ("change", "problem", "remedy"),
    [
        (("--tasks", "refsegg"), "no task 'refsegg'", "Did you mean 'refseg'?"),
        (("--tasks", " , "), "No task is named", "at least one"),
        (("--datasets", "mevi"), "no dataset 'mevi'", "'mevis'"),
        (("--datasets", "sprites:tset", "--data-root", ""), "no split 'tset'", "train, val, test"),
        (("--datasets", "mevis:nowhere"), "meta_expressions.json is missing", "https://"),
        (("--datasets", "mevis", "--data-root", ""), "'mevis' is read from disk", "--data-root"),
        (("--datasets", "vidstg"), "has samples for the task 'refseg'", "--datasets"),
        (("--ids", "clip0/9"), "sample 'clip0/9'", "look like 'clip0/0'"),
        (("--shuffle-seed", "1"), "--shuffle-seed draws", "--limit"),
        (("--data-root", "nowhere", "--datasets", "sprites"), "no folder nowhere", "--data-root"),
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


def test_a_folder_that_cannot_be_written_is_named(harness: Harness, command: tuple[str, ...]) -> None:
    (harness.folder / "file").write_text("in the way")
    ran = harness.run(*command, *TWO_TASKS, "--out", harness.folder / "file")
    assert ran.returncode == 2
    assert "Can't write to" in ran.stderr and "Traceback" not in ran.stderr
