"""Runs that several processes or machines share, and runs that say where their time went."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Harness, lines

TASKS = ("--tasks", "refseg,grounding", "--datasets", "mevis:valid_u,vidstg:test")


@pytest.fixture
def command(harness: Harness, official: Path) -> tuple[str | Path, ...]:
    return ("--recipe", harness.recipe, "--data-root", official, *TASKS)


def answers(folder: Path) -> list[bytes]:
    """The model's predictions, sorted, without the seconds they took."""
    found = []
    for path in sorted(folder.glob("predictions/*.model-*.jsonl")):
        for raw in path.read_bytes().splitlines()[1:]:
            line = json.loads(raw)
            del line["seconds"]
            line.get("meta", {}).pop("seconds", None)
            found.append(f"{path.name} {json.dumps(line)}".encode())
    return sorted(found)


def scores(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("scores/*.json")}


def test_a_profile_is_kept_and_drawn(harness: Harness, command: tuple[str, ...]) -> None:
    out = harness.folder / "out"
    ran = harness.run(*command, "--profile", "--set", "model.seconds=0.2", "--out", out)
    assert ran.returncode == 0, ran.stderr
    assert "Where the time went" in ran.stdout
    report = json.loads((out / "report.json").read_text())
    model = report["profile"]["rest of the model"]
    assert model["seconds"] > 0.2 * model["calls"] > 0 and model["memory_mb"] > 1
    assert {"scoring", "harness", "baselines"} <= set(report["profile"])
    assert 'id="profile"' in (out / "report.html").read_text()
    # Scoring again keeps the profile of the run.
    assert harness.score(out).returncode == 0
    assert json.loads((out / "report.json").read_text())["profile"] == report["profile"]


@pytest.mark.parametrize("wrong", [("--workers", "2"), ("--engine", "ray", "--profile")])
def test_options_of_another_engine_are_refused(
    harness: Harness, command: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    ran = harness.run(*command, *wrong, "--out", harness.folder / "out")
    assert ran.returncode == 2
    assert "--engine" in ran.stderr and "Traceback" not in ran.stderr


def launch(harness: Harness, *arguments: str | Path) -> subprocess.Popen[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [sys.executable, *torchrun, "-m", "benchmarks.run", *map(str, arguments)],
        env=harness.environment,
        cwd=harness.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def times(folder: Path, pattern: str) -> set[tuple[str, str, float]]:
    """File, sample and seconds of all predictions in the files of a pattern; made again, they take others."""
    found = set()
    for path in folder.glob(pattern):
        # What follows the last end of line is still being written.
        for raw in path.read_bytes().split(b"\n")[1:-1]:
            line = json.loads(raw)
            found.add((path.name, line["id"], line["seconds"]))
    return found


def written(folder: Path) -> set[tuple[str, str, float]]:
    """Predictions that processes have not handed in."""
    return times(folder, "shards/[01]/*.jsonl")


@pytest.mark.slow
def test_launched_processes_share_a_run_and_go_on_after_a_crash(
    harness: Harness, command: tuple[str, ...]
) -> None:
    alone, out = harness.folder / "alone", harness.folder / "out"
    assert harness.run(*command, "--out", alone).returncode == 0
    slow = ("--set", "model.seconds=1", "--out", harness.folder / "slow")
    crashed = launch(harness, *command, *slow)
    while not written(harness.folder / "slow") and crashed.poll() is None:
        time.sleep(0.05)
    crashed.send_signal(signal.SIGTERM)
    crashed.communicate(timeout=120)
    before = written(harness.folder / "slow")
    assert before
    for arguments, folder in ((("--out", out), out), (slow, harness.folder / "slow")):
        launched = launch(harness, *command, *arguments)
        printed, errors = launched.communicate(timeout=300)
        assert launched.returncode == 0, errors
        assert printed.count("Report:") == 1
        assert not list(folder.glob("shards/[01]/*.jsonl"))
        assert scores(folder).keys() == scores(alone).keys()
    assert before <= times(harness.folder / "slow", "predictions/*.jsonl")
    assert answers(out) == answers(alone)
    assert scores(out) == scores(alone)


@pytest.fixture
def cluster(harness: Harness) -> Iterator[Any]:
    """Two nodes on this machine, reachable from it alone (Ray replaces 127.0.0.1 by an outer address)."""
    pytest.importorskip("ray")
    utils = pytest.importorskip("ray.cluster_utils")
    before = dict(os.environ)
    os.environ.update(harness.environment)
    started = utils.Cluster()
    try:
        started.add_node(num_cpus=1, node_ip_address="127.0.0.2", include_dashboard=False)
        started.add_node(num_cpus=1, node_ip_address="127.0.0.2")
        yield started
    finally:
        started.shutdown()
        os.environ.clear()
        os.environ.update(before)


def worker_processes() -> list[int]:
    """Processes of the cluster that hold a model."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "ray::Worker" in line]


@pytest.mark.slow
def test_a_ray_cluster_loses_workers_and_a_node_and_no_answer(
    harness: Harness, command: tuple[str, ...], cluster: Any
) -> None:
    alone, out = harness.folder / "alone", harness.folder / "out"
    slow = ("--set", "model.seconds=1")
    assert harness.run(*command, *slow, "--out", alone).returncode == 0
    before = set(worker_processes())
    ray = ("--engine", "ray", "--address", cluster.address)
    process = harness.start(*command, *slow, *ray, "--out", out)
    while lines(out) < 1 and process.poll() is None:
        time.sleep(0.05)
    victims = [pid for pid in worker_processes() if pid not in before]
    assert victims, process.communicate()[1]
    os.kill(victims[0], signal.SIGKILL)
    reached = lines(out)
    while lines(out) < reached + 1 and process.poll() is None:
        time.sleep(0.05)
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert answers(out) == answers(alone)
    assert scores(out) == scores(alone)
