"""A clip of our own, and servers as a user starts them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grounding_core import GroundedText, Video
from grounding_core.render import write_overlay

Start = Callable[..., str]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")  # one at a time in a process, and other modules start their own
def browser() -> Iterator[Any]:
    path = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if path is None:
        pytest.skip(f"needs one of {', '.join(BROWSERS)} on the PATH")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of a square that moves right: 96x64 before it is enlarged for the file."""
    frames = np.full((12, 64, 96, 3), 200, np.uint8)
    for index, frame in enumerate(frames):
        frame[20:44, 4 + 5 * index : 28 + 5 * index] = (200, 40, 40)
    path = tmp_path_factory.mktemp("clips") / "square.mp4"
    write_overlay(Video.open(frames, fps=12), GroundedText(""), path)
    return path


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts ``grounding ...`` on a free port of this machine; returns its address. Ends all afterwards."""
    running: list[subprocess.Popen[bytes]] = []
    temporary = tmp_path_factory.mktemp("tmp")

    def start(*arguments: str, **environment: str) -> str:
        six = "::1" in arguments
        with socket.socket(socket.AF_INET6 if six else socket.AF_INET) as probe:
            probe.bind(("::1" if six else "127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "grounding_core.cli", *arguments, "--port", str(port)]
        process = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(temporary), **environment})
        running.append(process)
        address = f"http://{'[::1]' if six else '127.0.0.1'}:{port}"
        end = time.monotonic() + 120
        while not _answers(address):
            assert process.poll() is None, f"{command} ended with {process.returncode}"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.2)
        return address

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(30)
    # PyTorch keeps a folder of its own there.
    assert list(temporary.glob("grounding-*")) == [], "a server left files behind"


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
