"""Models as folders, and on a hub that is a small server of our own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from servers import Listener, listening
from small import small_model

import grounding_core as gc
from grounding_core.config import Recipe
from grounding_core.errors import CheckpointError, GroundingError, RecipeError
from grounding_core.model import GroundingModel
from grounding_core.pretrained import push_folder

COMMIT = "a" * 40
CLIP = np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3), np.uint8)
REPORT = {
    "results": [
        {
            "task": "refseg",
            "dataset": "mevis",
            "split": "valid_u",
            "headline": "jf",
            "n": 7,
            "measures": [{"key": "jf", "label": "J&F", "percent": True}],
            "predictors": {"model": {"values": {"jf": {"value": 0.4567}}}},
        }
    ]
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[GroundingModel, Path]:
    folder = tmp_path_factory.mktemp("saved")
    (folder / "report.json").write_text(json.dumps(REPORT))
    model = small_model(folder).eval()
    model.save_pretrained(
        folder / "model", licence="apache-2.0", datasets=["mevis"], report=folder / "report.json"
    )
    return model, folder / "model"


def test_a_saved_model_answers_the_same_elsewhere(saved: tuple[GroundingModel, Path], tmp_path: Path) -> None:
    model, folder = saved
    folder.rename(tmp_path / "moved")
    try:
        assert {"recipe.yaml", "model.safetensors", "tokenizer.json", "README.md"} <= {
            file.name for file in (tmp_path / "moved").iterdir()
        }
        again = GroundingModel.from_pretrained(tmp_path / "moved")
        video = gc.Video.open(CLIP)
        one, other = (each.ground(video, gc.Query("", "describe")) for each in (model, again))
        assert one == other and one.meta["markup"] == other.meta["markup"]
        assert str(folder) not in (tmp_path / "moved" / "recipe.yaml").read_text()
    finally:
        (tmp_path / "moved").rename(folder)


def test_saving_over_itself_keeps_it_whole(saved: tuple[GroundingModel, Path]) -> None:
    again = GroundingModel.from_pretrained(saved[1])
    again.save_pretrained(saved[1], licence="apache-2.0")
    assert GroundingModel.from_pretrained(saved[1]).fingerprint() == again.fingerprint()


def test_the_card_is_what_the_hub_reads(saved: tuple[GroundingModel, Path], tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    saved[0].save_pretrained(tmp_path, licence="mit", report=tmp_path / "report.json")
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "grounding-core" and card.data.license == "mit"
    (result,) = card.data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("mevis:valid_u", "J&F", 45.67)
    assert "| mevis:valid_u | J&F | 45.7 | 7 |" in card.text
    with pytest.raises(GroundingError, match="is no report"):
        saved[0].save_pretrained(tmp_path / "other", report=tmp_path / "README.md")
    assert not (tmp_path / "other").exists()


def test_what_is_no_composed_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: whole\nmodel: {type: nothing}\n")
    with pytest.raises(RecipeError, match=r"grounding_core\.load"):
        GroundingModel.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="save_pretrained first"):
        push_folder(tmp_path, "me/it")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as fetching and pushing one model needs; files by path."""

    files: dict[str, bytes]

    @property
    def home(self) -> str:
        return f"http://{self.headers['Host']}/me/tiny"

    def log_message(self, *_: Any) -> None: ...

    def _send(self, value: Any, code: int = 200, **headers: str) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(code)
        for name, text in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/me/tiny"):
            siblings = [{"rfilename": name} for name in self.files]
            tree = [
                {"type": "file", "path": name, "oid": "0", "size": len(b)} for name, b in self.files.items()
            ]
            facts = {"id": "me/tiny", "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
            self._send(tree if "/tree/" in self.path else facts)
        elif self.path.startswith(f"/me/tiny/resolve/{COMMIT}/"):
            body = self.files[self.path.split("/", 5)[5].partition("?")[0]]
            etag = hashlib.sha256(body).hexdigest()
            self._send(body, X_Repo_Commit=COMMIT, ETag=f'"{etag}"')
        else:
            self._send({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            self._send(
                {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]}
            )
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._send({"commitUrl": f"{self.home}/commit/{COMMIT}", "commitOid": COMMIT})
        else:
            self._send({"url": self.home, "id": "me/tiny"})


@pytest.fixture
def hub() -> Iterator[tuple[str, dict[str, bytes]]]:
    handler = type("Mine", (Hub,), {"files": {}})
    with listening(Listener(handler)) as server:
        yield server.url, handler.files


def run(code: str, hub: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_TOKEN": "secret", **more}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


def test_pushed_fetched_and_used_offline(
    saved: tuple[GroundingModel, Path], hub: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    address, files = hub
    push = "from grounding_core.pretrained import push_folder; print(push_folder({!r}, 'me/tiny'))"
    done = run(push.format(str(saved[1])), address, tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{address}/me/tiny/commit/{COMMIT}"
    assert files["model.safetensors"] == (saved[1] / "model.safetensors").read_bytes()
    files["evil.py"] = b"raise SystemExit('never fetched')"

    load = (
        "import sys; from grounding_core.config import Recipe; from pathlib import Path;"
        "folder = Path(Recipe.load('me/tiny').checkpoint); print(*sorted(f.name for f in folder.iterdir()));"
        "assert 'torch' not in sys.modules"
    )
    fetched = run(load, address, tmp_path / "home")
    assert fetched.returncode == 0, fetched.stderr
    assert fetched.stdout.split() == sorted({*files} - {"evil.py", "README.md"})
    offline = run(load, "http://127.0.0.1:1", tmp_path / "home", HF_HUB_OFFLINE="1")
    assert offline.stdout == fetched.stdout, offline.stderr

    absent = run(load.replace("me/tiny", "me/other"), address, tmp_path / "home")
    assert "The hub gives no model me/other" in absent.stderr
    nowhere = run(load, "http://127.0.0.1:1", tmp_path / "empty", HF_HUB_OFFLINE="1")
    assert "not in the hub's cache nor reachable" in nowhere.stderr


def test_recipe_file_is_plain_yaml(saved: tuple[GroundingModel, Path]) -> None:
    content = yaml.safe_load((saved[1] / "recipe.yaml").read_text())
    assert content["checkpoint"] == "./" and content["language_model"]["tokenizer"] == "./"
    assert Recipe.load(saved[1]).name == "videoglamm-tiny"
    weights = torch.cat([value.flatten().double() for value in saved[0].state_dict().values()])
    assert torch.isfinite(weights).all()
