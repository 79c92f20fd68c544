"""Equal to what the official evaluators printed (numbers kept beside the checkout)."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.parity.__main__ import CHECKS, app


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_metrics_equal_the_official_ones(golden: Path, check) -> None:
    rows = check(golden)
    assert rows
    for row in rows:
        assert row.errors, f"{row.metric}: no cases"
        assert row.passed, f"{row.metric}: off by {row.worst}"


def test_a_changed_number_fails(golden: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    folder = shutil.copytree(golden, tmp_path / "golden")
    path = folder / "gcg.json"
    path.chmod(0o644)
    content = json.loads(path.read_text())
    content["samples"][0]["miou"] += 1e-6
    path.unlink()
    path.write_text(json.dumps(content))
    monkeypatch.setattr("benchmarks.parity.__main__.CHECKS", CHECKS[2:3])
    with pytest.raises(SystemExit) as end:
        app([str(folder)])
    assert end.value.code == 1
    (failed,) = [line for line in capsys.readouterr().out.splitlines() if "FAIL" in line]
    assert failed.split()[0] == "mIoU"
