"""``grounding data``: what it says of data sets that are whole, half there, generated or absent."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Harness

from benchmarks.datasets.published import published
from grounding_core.cli import main
from grounding_core.interfaces.dataset import Dataset, GeneratedDataset
from grounding_core.plugins import registry

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["grounding", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out + captured.err

    return run


def checked(run: Run, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    code, text = run("check", *arguments, "--json")
    # Bars follow on stderr.
    return code, json.JSONDecoder().raw_decode(text)[0]["reports"]


def test_list_names_every_data_set_with_its_counts(run: Run) -> None:
    code, text = run("list", "--json")
    rows = {row["name"]: row for row in json.loads(text)}
    assert code == 0 and {"mevis", "ref-davis17", "refcoco+", "grandf", "sprites"} <= set(rows)
    assert rows["mevis"]["splits"]["valid_u"] == {
        "videos": 50, "samples": 793, "truth": True, "note": "",
    }  # fmt: skip
    assert not rows["mevis"]["splits"]["valid"]["truth"]
    shown = run("list")[1]
    assert all(name in shown for name in rows) and "23,051" in shown


@pytest.mark.parametrize(
    "name",
    [
        "mevis",
        "ref-davis17",
        "revos",
        "reason-vos",
        "refcoco",
        "refcoco+",
        "refcocog",
        "reason-seg",
        "grandf",
    ],
)
def test_check_finds_a_whole_data_set_complete(name: str, run: Run, official: Path) -> None:
    code, (report,) = checked(run, name, "--data-root", official)
    assert code == 0 and report["complete"] and report["faults"] == []
    assert report["videos"] == report["readable"] > 0
    assert all(part["size"] > 0 for part in report["parts"])


def test_check_tells_counts_that_differ_without_calling_them_missing(run: Run, official: Path) -> None:
    code, text = run("check", "mevis", "--data-root", official)
    assert code == 0
    assert "3 videos, 3 of them with all frames; 9 samples" in text
    assert "3 videos instead of the published 50" in text and "9 samples instead of the published 793" in text
    assert "CC BY-NC-SA 4.0" in text


def test_check_says_what_is_missing_and_where_it_comes_from(run: Run, official: Path, tmp_path: Path) -> None:
    root = shutil.copytree(official, tmp_path / "root")
    shutil.rmtree(root / "refer_davis/2017/valid/Annotations")
    (root / "refer_davis/2017/valid/JPEGImages/bear/00003.jpg").unlink()
    code, (report,) = checked(run, "ref-davis17", "--data-root", root)
    assert code == 1 and not report["complete"]
    sizes = {part["part"]["path"]: part["size"] for part in report["parts"]}
    assert sizes["refer_davis/2017/valid/Annotations"] is None
    assert sizes["refer_davis/2017/valid/JPEGImages"] > 0
    assert report["readable"] == 1
    assert report["faults"][0] == "1 of 2 videos can't be opened." and "00003.jpg" in report["faults"][1]
    assert "16 of 16 samples looked at have no readable truth." in report["faults"]
    text = run("check", "ref-davis17", "--data-root", root)[1]
    assert "missing" in text and "davischallenge.org" in text


def test_check_of_an_empty_root_names_every_part(run: Run, tmp_path: Path) -> None:
    code, (report,) = checked(run, "revos", "--data-root", tmp_path)
    assert code == 1 and report["videos"] is None
    assert len(report["parts"]) == 4 and all(part["size"] is None for part in report["parts"])
    assert all(part["part"]["source"].startswith("https://") for part in report["parts"])


def test_check_does_not_miss_masks_that_are_not_public(run: Run, official: Path) -> None:
    code, (report,) = checked(run, "ref-youtube-vos", "--split", "valid", "--data-root", official)
    assert code == 0 and report["complete"] and report["videos"] == 1


def test_check_and_prepare_of_a_generated_set(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDING_CACHE", str(tmp_path / "cache"))
    code, text = run("check", "sprites", "--split", "val")
    assert code == 1 and "from `grounding data prepare sprites --split val" in text
    root = tmp_path / "made"
    assert run("prepare", "sprites", "--split", "val", "--videos", "2", "--data-root", root)[0] == 0
    code, reports = checked(run, "sprites", "--split", "val", "--data-root", root)
    assert code == 0 and [report["task"] for report in reports] == ["refseg", "grounding", "gcg"]
    assert all(report["videos"] == 2 for report in reports)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("check", "mevis"), "read from disk"),
        (("check", "mevis", "--split", "valid_v", "--data-root", "x"), "Did you mean 'valid_u'"),
        (("check", "mevi", "--data-root", "x"), "Did you mean 'mevis'"),
        (("prepare", "reason-vos", "--data-root", "x"), "nothing to prepare"),
        (("prepare", "mevis", "--data-root", "x", "--videos", "2"), "not generated"),
        (("prepare", "sprites", "--data-root", "x", "--decoder", "sam2"), "comes with masks"),
    ],
)
def test_wrong_uses_are_one_line(arguments: tuple[str, ...], told: str, run: Run) -> None:
    code, text = run(*arguments)
    assert code == 1 and told in text and "Traceback" not in text


def test_every_reader_says_what_it_needs_and_has_its_splits_in_the_table() -> None:
    for name in registry().names("dataset"):
        found: type[Dataset] | type[GeneratedDataset] = registry().load("dataset", name)
        assert found.default_split in found.splits, name
        if issubclass(found, GeneratedDataset):
            continue
        for split in found.splits:
            parts = found(Path("root")).parts(split)
            assert parts, (name, split)
            for part in parts:
                assert not Path(part.path).is_absolute() and part.holds, (name, split)
                assert "https://" in part.source or "grounding data" in part.source, (name, split)


def test_the_documentation_names_every_data_set(repository: Path) -> None:
    page = (repository / "docs" / "datasets.md").read_text(encoding="utf-8")
    assert [name for name in registry().names("dataset") if f"`{name}`" not in page] == []


def test_published_counts_are_in_the_order_of_the_file() -> None:
    assert list(published("mevis")) == ["train", "valid", "valid_u"]


def test_one_run_mixes_public_and_generated_sets(harness: Harness, official: Path) -> None:
    made = harness.python(
        "from pathlib import Path\n"
        "from grounding_core.datasets import cached_root\n"
        "from grounding_core.plugins import registry\n"
        "found = registry().load('dataset', 'sprites')\n"
        "found().prepare(cached_root('sprites', found), split='test', videos=2)"
    )
    assert made.returncode == 0, made.stderr
    out = harness.folder / "out"
    ran = harness.run(
        "--tasks", "refseg", "--datasets", "mevis:valid_u,ref-davis17,sprites", "--data-root", official,
        "--recipe", harness.recipe, "--limit", "4", "--out", out,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    results = json.loads((out / "report.json").read_text())["results"]
    assert [(result["dataset"], result["split"], result["n"]) for result in results] == [
        ("mevis", "valid_u", 4),
        ("ref-davis17", "valid", 4),
        ("sprites", "test", 4),
    ]
