"""Equal to what the official evaluators printed (numbers kept beside the checkout)."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.parity.__main__ import CHECKS, app

# METEOR reads its tables five times, which takes half a minute.
SLOW = {"check_captions"}


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=check.__name__, marks=[pytest.mark.slow] if check.__name__ in SLOW else [])
        for check in CHECKS
    ],
)
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


def test_a_golden_file_of_another_form_is_named(golden: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    folder = shutil.copytree(golden, tmp_path / "golden")
    path = folder / "clair.json"
    content = json.loads(path.read_text())
    del content["sequences"]
    path.unlink()
    path.write_text(json.dumps(content))
    monkeypatch.setattr("benchmarks.parity.__main__.CHECKS", CHECKS[4:])
    with pytest.raises(SystemExit) as end:
        app([str(folder)])
    assert end.value.code == 2
    assert "golden clair cases" in capsys.readouterr().err
