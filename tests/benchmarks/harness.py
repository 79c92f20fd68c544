"""A whole model in a distribution of its own, and a way to run the benchmarks on it as a user does."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOY_PLUGIN = """
from grounding_core.hookspecs import Entry, hookimpl

@hookimpl
def grounding_entries():
    return [Entry("model", "toy", "toy_model:Toy")]
"""

TOY_MODEL = """
import os, time
import numpy as np
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText, Span


class Toy:
    '''Bright pixels are the answer.'''

    class Config(ComponentConfig):
        seconds: float = 0.0

    def __init__(self, config):
        self.config = config

    def encode(self, video):
        with open(os.environ["TOY_LOG"], "a") as log:
            log.write(f"encode {video.source}\\n")
        return MaskTrack.from_masks(3, [frame.max(-1) > 128 for _, frame in video.stream()])

    def ground(self, context, queries):
        time.sleep(self.config.seconds)
        if any(os.environ.get("TOY_FAILS_ON", "never") in query.text for query in queries):
            raise RuntimeError("the toy broke")
        texts = [query.text.ljust(12) if query.text else "A bright box moves right." for query in queries]
        return [GroundedText(text, (Span(2, 12, (3,)),), (context,)) for text in texts]

    def fingerprint(self):
        return {"toy": "1"}
"""


class Page:
    """The samples of a report, read as the page's own script reads them."""

    def __init__(self, text: str) -> None:
        found = re.findall(r'<script type="text/plain" id="([^"]+)">([^<]*)</script>', text)
        self.scripts: dict[str, str] = dict(found)

    def _unpacked(self, id: str) -> Any:
        return json.loads(zlib.decompress(base64.b64decode(self.scripts[id])))

    def index(self, shelf: str) -> dict[str, Any]:
        """What is known of a shelf's samples."""
        return dict(self._unpacked(f"{shelf}-index"))

    def layers(self, shelf: str, row: int) -> list[dict[str, Any]]:
        """Truth and answers of a sample."""
        return list(self._unpacked(f"{shelf}-s{row}"))

    def film(self, shelf: str, number: int) -> dict[str, Any]:
        """The pictures of a video."""
        return dict(json.loads(self.scripts[f"{shelf}-f{number}"]))


class Harness:
    """Runs the benchmarks as a user does, with the toy model installed beside the real plugins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        site = folder / "site"
        info = site / "toy-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[grounding_core]\ntoy = toy_plugin\n")
        (site / "toy_plugin.py").write_text(TOY_PLUGIN)
        (site / "toy_model.py").write_text(TOY_MODEL)
        self.recipe = folder / "toy.yaml"
        self.recipe.write_text("name: toy\nmodel: {type: toy}\n")
        self.log = folder / "toy.log"
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "GROUNDING_CACHE": str(folder / "cache"),
            "TOY_LOG": str(self.log),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "80",
        }

    def start(
        self, *arguments: str | Path, prepare: Callable[[], object] | None = None, **environment: str
    ) -> subprocess.Popen[str]:
        """``prepare`` runs in the new process before the program."""

        def before() -> None:
            # A job in the background of a script ignores interrupts, and so would its children.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if prepare is not None:
                prepare()

        command = [sys.executable, "-m", "benchmarks.run", *map(str, arguments)]
        return subprocess.Popen(
            command,
            env=self.environment | environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,
        )

    def run(
        self, *arguments: str | Path, prepare: Callable[[], object] | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, prepare=prepare, **environment)
        out, err = process.communicate(timeout=180)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def score(self, out: Path) -> subprocess.CompletedProcess[str]:
        """Score a run folder again from its predictions."""
        return self._python("-m", "benchmarks.score", str(out))

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        return self._python("-c", code)

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )


def comparable(folder: Path) -> dict[str, Any]:
    """The report of a run without what differs each time."""
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    del report["timing"]
    return report


def lines(folder: Path) -> int:
    """How many predictions of the model are on disk."""
    return sum(path.read_bytes().count(b"\n") - 1 for path in folder.glob("predictions/*.model-*.jsonl"))
