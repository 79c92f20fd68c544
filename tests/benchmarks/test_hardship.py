"""Runs that are killed, run out of disk, meet each other or lose their data: nothing is corrupted."""

import ctypes
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from harness import Harness, comparable, lines

TWO_TASKS = ("--tasks", "refseg,grounding", "--datasets", "mevis:valid_u,vidstg:test")
ONE_TASK = ("--tasks", "refseg", "--datasets", "mevis:valid_u")


@pytest.fixture
def command(harness: Harness, official: Path) -> tuple[str | Path, ...]:
    return ("--recipe", harness.recipe, "--data-root", official)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that a refused run must leave as it was."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_gives_the_same_report(
    harness: Harness, command: tuple[str | Path, ...], kills: int
) -> None:
    slow = (*command, *TWO_TASKS, "--set", "model.seconds=0.05")
    whole, broken = harness.folder / "whole", harness.folder / "broken"
    start = time.monotonic()
    assert harness.run(*slow, "--out", whole).returncode == 0
    seconds = time.monotonic() - start
    seed = time.time_ns()
    drawn = random.Random(seed)
    hit = 0
    for number in range(kills):
        process = harness.start(*slow, "--out", broken)
        # The first never: a run that came to its end before would leave the later ones nothing to do.
        if number and drawn.random() < 0.5:
            # Anywhere in a run's life: at its start, between two lines, while it scores and reports.
            time.sleep(drawn.random() * seconds)
        else:
            # Just after a line.
            wanted = lines(broken) + 1
            while lines(broken) < wanted and process.poll() is None:
                time.sleep(0.002)
        hit += process.poll() is None
        process.kill()
        process.communicate()
    assert hit, f"no run was alive when it was killed; seed {seed}"
    torn = next(broken.glob("predictions/*.model-*.jsonl"), None)
    if torn is not None:
        with torn.open("ab") as handle:
            handle.write(b'{"id": "clip2/2", "text": "half a li')
    finished = harness.run(*slow, "--out", broken)
    assert finished.returncode == 0, f"{finished.stderr}; seed {seed}"
    assert comparable(broken) == comparable(whole), f"seed {seed}"
    assert lines(broken) == lines(whole), f"seed {seed}"


@pytest.mark.parametrize("size", [300, 6000, 20_000])
def test_a_full_disk_stops_the_run_and_spoils_nothing(
    harness: Harness, command: tuple[str | Path, ...], size: int
) -> None:
    """No file may grow beyond ``size`` bytes, so that the writes of each stage fail in turn."""
    whole, out = harness.folder / "whole", harness.folder / "out"
    assert harness.run(*command, *ONE_TASK, "--out", whole).returncode == 0

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    # The toy's own log grows as well; it is not what is tested.
    ran = harness.run(*command, *ONE_TASK, "--out", out, prepare=full, TOY_LOG=os.devnull)
    assert ran.returncode == 2, ran.stderr
    assert "Can't write" in ran.stderr and "Free some space" in ran.stderr and "Traceback" not in ran.stderr
    for path in out.glob("*.json"):
        json.loads(path.read_text())
    assert harness.run(*command, *ONE_TASK, "--out", out).returncode == 0
    assert comparable(out) == comparable(whole)
    assert not list(out.rglob("*.new"))


def forget_root() -> None:
    """Give up the right to write where permissions forbid it; nothing to do for other users."""
    drop_capability, override_permissions = 24, 1
    ctypes.CDLL(None).prctl(drop_capability, override_permissions, 0, 0, 0)


def test_a_folder_that_cannot_be_written_is_refused(
    harness: Harness, command: tuple[str | Path, ...]
) -> None:
    (harness.folder / "file").write_text("in the way")
    locked = harness.folder / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    for out in (harness.folder / "file", locked, locked / "below"):
        ran = harness.run(*command, *ONE_TASK, "--out", out, prepare=forget_root)
        assert ran.returncode == 2, ran.stderr
        assert f"Can't write to {out}" in ran.stderr and "Traceback" not in ran.stderr
    assert not any(locked.iterdir())


def test_a_finished_run_made_read_only_is_refused_and_kept(
    harness: Harness, command: tuple[str | Path, ...]
) -> None:
    out = harness.folder / "out"
    assert harness.run(*command, *ONE_TASK, "--out", out).returncode == 0
    before = contents(out)
    for path in (out, *out.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    ran = harness.run(*command, *ONE_TASK, "--out", out, prepare=forget_root)
    for path in (out, *out.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert ran.returncode == 2 and "Can't write to" in ran.stderr
    assert contents(out) == before


def test_two_processes_do_not_share_a_folder(harness: Harness, command: tuple[str | Path, ...]) -> None:
    out = harness.folder / "out"
    slow = (*command, *TWO_TASKS, "--set", "model.seconds=0.5", "--out", out)
    first = harness.start(*slow)
    while lines(out) < 1 and first.poll() is None:
        time.sleep(0.01)
    second = harness.run(*slow)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert second.returncode == 2
    assert f"in use by process {first.pid}" in second.stderr


def test_data_that_changed_under_a_run_is_refused(
    harness: Harness, command: tuple[str | Path, ...], official: Path
) -> None:
    root, out = harness.folder / "data", harness.folder / "out"
    shutil.copytree(official / "mevis", root / "mevis")
    given = ("--recipe", harness.recipe, "--data-root", root, "--out", out, *ONE_TASK)
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


def test_what_was_predicted_on_other_data_is_not_scored(harness: Harness, official: Path) -> None:
    root, out = harness.folder / "data", harness.folder / "out"
    shutil.copytree(official / "mevis", root / "mevis")
    given = ("--recipe", harness.recipe, "--data-root", root, "--out", out, *ONE_TASK)
    assert harness.run(*given).returncode == 0
    shutil.rmtree(out / "scores")  # as if it had been killed before it was scored
    masks = root / "mevis/valid_u/mask_dict.json"
    (video, *_) = sorted((root / "mevis/valid_u/JPEGImages").iterdir())
    picture = video if video.is_file() else sorted(video.iterdir())[0]
    hidden = json.loads(masks.read_text())
    hidden["1"][0] = None
    before = contents(out)
    for path, changed, what in (
        (masks, json.dumps(hidden).encode(), "truth"),
        (picture, picture.read_bytes() + b"0", "video"),
    ):
        kept = path.read_bytes()
        path.write_bytes(changed)
        for ran in (harness.run(*given), harness.score(out)):
            assert ran.returncode == 2, ran.stderr
            assert f"The {what} of" in ran.stderr and "has changed since it was predicted" in ran.stderr
        assert contents(out) == before
        path.write_bytes(kept)
    assert harness.score(out).returncode == 0


def test_workers_end_with_a_killed_run(tmp_path: Path) -> None:
    """They hold predictions and truths, and would wait for the next job for ever."""
    script = tmp_path / "score.py"
    script.write_text(
        "from pathlib import Path\n"
        "from benchmarks.perf.score_memory import score_once\n"
        "if __name__ == '__main__':\n"
        "    score_once(100_000, 10, 2, Path('.'))\n"
    )
    run = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path)
    try:
        workers: list[psutil.Process] = []
        while len(workers) < 2 and run.poll() is None:
            time.sleep(0.05)
            children = psutil.Process(run.pid).children()
            workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        assert len(workers) == 2
    finally:
        run.kill()
        run.communicate()
    _, left = psutil.wait_procs(workers, timeout=60)
    assert not left
