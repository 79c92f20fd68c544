"""`python -m benchmarks.compare`: paired differences, flips, refusals."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from harness import Harness, Page
from typer.testing import CliRunner

from benchmarks.compare import app
from benchmarks.score import app as score
from benchmarks.stats import difference, estimate


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, official: Path) -> tuple[Path, Path]:
    """The same samples twice; B fails where the first thing is asked for."""
    harness = Harness(tmp_path_factory.mktemp("runs"))
    given = ("--recipe", harness.recipe, "--data-root", official, "--tasks", "refseg")
    folders = harness.folder / "a", harness.folder / "b"
    for folder, fails in zip(folders, ("never", "right"), strict=True):
        ran = harness.run(*given, "--datasets", "mevis:valid_u", "--out", folder, TOY_FAILS_ON=fails)
        assert ran.returncode == 0, ran.stderr
    return folders


def compare(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(part) for part in arguments], env={"COLUMNS": "80"})
    assert done.exit_code == code, done.output
    return done.output


def test_what_got_worse_is_named(runs: tuple[Path, Path], tmp_path: Path) -> None:
    shown = compare(*runs, "--out", tmp_path)
    assert all(len(line) <= 80 for line in shown.splitlines() if not line.startswith(("A:", "B:", "Report:")))
    (result,) = json.loads((tmp_path / "comparison.json").read_text())["results"]
    jf = next(measure for measure in result["measures"] if measure["key"] == "jf")
    assert jf["difference"] == pytest.approx(jf["b"] - jf["a"]) and jf["difference"] < -0.3
    assert jf["low"] <= jf["difference"] <= jf["high"] < 0
    assert [row["id"] for row in result["lost"]] == ["clip0/0", "clip1/0", "clip2/0"]
    assert result["gained"] == []
    page, text = ((tmp_path / f"comparison.{kind}").read_text() for kind in ("html", "md"))
    assert "clip2/0" in page and "clip2/0" in text
    shelf = Page(page).index("r0")
    assert [column["key"] for column in shelf["columns"]] == ["change", "a", "b"]
    flipped = shelf["tags"]["flipped"]
    lost = [
        id for id, row in zip(shelf["ids"], flipped["rows"], strict=True) if flipped["known"][row] == "lost"
    ]
    assert lost == ["clip0/0", "clip1/0", "clip2/0"]
    truth, before, after = Page(page).layers("r0", shelf["ids"].index("clip1/0"))
    assert (truth["title"], before["title"], after["title"]) == ("truth", "A: toy", "B: toy")
    assert before["tracks"] and not after["tracks"] and "the toy broke" in after["note"]
    back = compare(*reversed(runs))
    assert "3 gained by B" in back and "clip1/0" in back


def test_a_run_does_not_differ_from_itself(runs: tuple[Path, Path], tmp_path: Path) -> None:
    compare(runs[0], runs[0], "--out", tmp_path)
    (result,) = json.loads((tmp_path / "comparison.json").read_text())["results"]
    assert {m["difference"] for m in result["measures"]} == {0.0}
    assert result["gained"] == result["lost"] == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda scores: scores["ids"].pop(), "have other samples of refseg.mevis.valid_u: 9 against 8"),
        (lambda scores: scores["truths"].update({"clip1/0": "x"}), "another truth"),
    ],
)
def test_runs_that_cannot_be_compared(
    runs: tuple[Path, Path], tmp_path: Path, change: object, problem: str
) -> None:
    other = shutil.copytree(runs[1], tmp_path / "other")
    path = other / "scores" / "refseg.mevis.valid_u.json"
    scores = json.loads(path.read_text())
    change(scores)  # type: ignore[operator]
    path.write_text(json.dumps(scores))
    assert problem in " ".join(compare(runs[0], other, code=2).split())


def test_unscored_runs_and_other_folders(runs: tuple[Path, Path], tmp_path: Path) -> None:
    assert "holds no run" in compare(runs[0], tmp_path, code=2)
    shutil.copy(runs[0] / "run.json", tmp_path)
    assert "is not scored" in " ".join(compare(runs[0], tmp_path, code=2).split())


def test_scores_of_another_model_are_not_shown_as_this_one_s(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = shutil.copytree(runs[0], tmp_path / "other")
    plan = json.loads((other / "run.json").read_text())
    for name, facts in (("theirs", {"toy": "2"}), ("toy", plan["fingerprint"])):
        changed = {**plan, "model": name, "fingerprint": facts}
        (other / "run.json").write_text(json.dumps(changed))
        if name == "theirs":  # begun in the same folder, and broken off before it answered anything
            assert "are of another model than theirs" in " ".join(compare(runs[1], other, code=2).split())
            report = (other / "report.json").read_text()
            done = CliRunner().invoke(score, [str(other)])
            assert done.exit_code == 2 and "holds no answers of theirs" in " ".join(done.output.split())
            assert (other / "report.json").read_text() == report
        else:
            compare(runs[1], other)
    # Scores of before they said whose they are.
    path = other / "scores" / "refseg.mevis.valid_u.json"
    scores = json.loads(path.read_text())
    del scores["model"]
    path.write_text(json.dumps(scores))
    compare(runs[1], other)


def test_a_run_that_is_being_prolonged_is_compared_by_what_it_scored(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    for limit in (5, 20):
        other = shutil.copytree(runs[0], tmp_path / f"other{limit}")
        plan = json.loads((other / "run.json").read_text())
        plan["selection"]["limit"] = limit
        (other / "run.json").write_text(json.dumps(plan))
        compare(other, runs[1], "--out", tmp_path / f"out{limit}")
        shelf = Page((tmp_path / f"out{limit}" / "comparison.html").read_text()).index("r0")
        assert len(shelf["ids"]) == 9


def test_another_text_similarity_is_no_difference_between_models(
    harness: Harness, official: Path, bert: Path, tmp_path: Path
) -> None:
    """Nor is a profile another model's."""
    out = tmp_path / "a"
    ran = harness.run(
        "--recipe", harness.recipe, "--data-root", official, "--tasks", "gcg", "--datasets", "video-gcg",
        "--out", out, "--profile",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    other = shutil.copytree(out, tmp_path / "b")
    assert CliRunner().invoke(score, [str(other), "--text-similarity", f"bert:{bert}"]).exit_code == 0
    assert "profile" in json.loads((other / "report.json").read_text())
    shown = " ".join(compare(out, other, "--out", tmp_path).split())
    assert "Not compared: recall, recall official. Another text similarity: token-f1;" in shown
    (result,) = json.loads((tmp_path / "comparison.json").read_text())["results"]
    keys = {measure["key"] for measure in result["measures"]}
    assert "miou" in keys and not keys & {"recall", "recall_official"}
    for kind in ("html", "md"):
        assert "Not compared: recall" in (tmp_path / f"comparison.{kind}").read_text()
    assert "Not compared" not in compare(out, out)

    ran = harness.run(
        "--recipe", harness.recipe, "--data-root", official, "--tasks", "gcg", "--datasets", "video-gcg",
        "--out", out, "--set", "model.seconds=0.01",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "profile" not in json.loads((out / "report.json").read_text())


def test_pairing_takes_out_what_both_share() -> None:
    """Hard and easy videos spread the values; a constant gain is certain all the same."""
    rng = np.random.default_rng(1)
    base = rng.random(200)
    videos = [f"v{place // 4}" for place in range(200)]
    first, second = (np.stack([values, np.ones(200)], axis=1) for values in (base, base + 0.01))
    found, alone = difference(first, second, videos), estimate(first, videos)
    assert found.value == pytest.approx(0.01)
    assert found.high - found.low < 1e-9 < alone.high - alone.low
