"""``grounding doctor``, shell completion, and JSON for scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from servers import Listener, listening


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of a server on this machine that answers as a hub would."""

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with listening(Listener(Answers)) as server:
        yield server.url


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "grounding_core.cli", *arguments],
        env={**os.environ, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_doctor_says_what_is_there(hub: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(bytes(3 << 20))
    done = run("doctor", "--json", HF_ENDPOINT=hub, GROUNDING_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stdout
    findings = {(found["topic"], found["name"]): found for found in json.loads(done.stdout)}
    assert findings["hub", hub]["detail"] == "answers"
    assert "3.0 MiB" in findings["caches", "GROUNDING_CACHE"]["detail"]
    assert "h264" in findings["video", "PyAV"]["detail"]
    assert findings["device", "PyTorch"]["detail"].startswith("CPU")
    assert findings["plugins", "grounding-core: benchmarks"]["state"] == "ok"


def test_doctor_without_network_is_not_an_error(tmp_path: Path) -> None:
    done = run("doctor", HF_ENDPOINT="http://127.0.0.1:9", GROUNDING_CACHE=str(tmp_path / "absent"))
    assert done.returncode == 0, done.stdout
    assert "not reached" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_doctor_keeps_to_offline_mode(hub: str) -> None:
    findings = json.loads(run("doctor", "--json", HF_ENDPOINT=hub, HF_HUB_OFFLINE="1").stdout)
    (found,) = (found for found in findings if found["topic"] == "hub")
    assert "HF_HUB_OFFLINE" in found["detail"]


def test_shell_completes_commands_and_recipes() -> None:
    asked = {"_GROUNDING_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    code = "from grounding_core.cli import app; app(prog_name='grounding')"

    def complete(words: str, place: str) -> list[str]:
        environment = {**os.environ, **asked, "COMP_WORDS": words, "COMP_CWORD": place}
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    assert "doctor" in complete("grounding do", "1")
    assert "videoglamm-tiny" in complete("grounding check videog", "2")
    assert "sprites" in complete("grounding data check spr", "3")
    assert complete("grounding ground clip.mp4 x --kind re", "5") == ["refer"]
    assert "coco" in complete("grounding export answer --format co", "4")
    assert complete("grounding check nothing-like-it", "2") == []


def test_check_tells_scripts() -> None:
    good = run("check", "videoglamm-tiny", "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout)["specs"]["mask_decoder"]["prompt_width"] > 0
    bad = run("check", "videoglamm-tiny", "--json", "--set", "mask_decoder.type=nothing")
    assert bad.returncode == 1
    assert {problem["path"] for problem in json.loads(bad.stdout)["problems"]} == {"mask_decoder.type"}
