"""Scoring a unit: the same in one process and in several, in memory that does not grow."""

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.judging import NOT_PREDICTED
from benchmarks.perf.score_memory import measure_apart
from benchmarks.scores import MODEL, UnitScores, score_unit
from benchmarks.stats import MOST_GROUPS, estimate
from benchmarks.store import Prediction, PredictionStore
from benchmarks.tasks.base import load_task
from benchmarks.units import Unit
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Sample, Truth
from grounding_core.masks import MaskTrack
from grounding_core.types import GroundedText, Query

SIZE = (24, 32)


def mask(left: int) -> np.ndarray:
    found = np.zeros(SIZE, dtype=bool)
    found[4:14, left : left + 10] = True
    return found


def track(*lefts: int, id: int = 0) -> MaskTrack:
    return MaskTrack.from_masks(id, [mask(left) for left in lefts])


def unit_of(truths: dict[str, Truth], tags: dict[str, dict[str, str]] | None = None) -> Unit:
    # A lock can't be sent to another process: nor can what most readers hold.
    lock = threading.Lock()

    def load(truth: Truth) -> Truth:
        with lock:
            return truth

    samples = [
        Sample(
            id=id,
            video_id=id.split("/")[0],
            query=Query("the box"),
            open_video=partial(pytest.fail, "scoring opens no video"),
            load_truth=partial(load, truth),
            tags=(tags or {}).get(id, {}),
        )
        for id, truth in truths.items()
    ]
    return Unit("refseg", "made", "test", samples, samples, data="0", licence="none", truth=True)


def score(folder: Path, unit: Unit, answers: dict[str, Sequence[int] | str], workers: int = 1) -> UnitScores:
    store = PredictionStore(folder, "made", {"model": "made"})
    with store:
        for id, given in answers.items():
            failed = isinstance(given, str)
            answer = None if failed else GroundedText("a", (), (track(*given),))
            store.append(Prediction(id, answer, 0.5, given if failed else ""), {})
    return score_unit(unit, load_task("refseg", folder), {MODEL: store}, lambda: None, workers)


def test_several_processes_give_what_one_gives(tmp_path: Path) -> None:
    lefts = {f"v{i // 3}/{i % 3}": [(3 * i + t) % 20 for t in range(4)] for i in range(12)}
    unit = unit_of({id: Truth(tracks=(track(*given),)) for id, given in lefts.items()})
    answers = {id: [left + i % 3 for left in given] for i, (id, given) in enumerate(lefts.items())}
    answers["v1/2"] = "it broke"
    answers["v2/0"] = [1]
    del answers["v3/1"]
    one, several = (score(tmp_path / str(n), unit, answers, n) for n in (1, 3))
    ours, theirs = one.predictors[MODEL], several.predictors[MODEL]
    assert ours.counts.keys() == theirs.counts.keys()
    for key, counts in ours.counts.items():
        np.testing.assert_array_equal(counts, theirs.counts[key])
    assert ours.errors == theirs.errors
    assert list(ours.errors) == ["v1/2", "v2/0", "v3/1"]
    assert ours.errors["v1/2"] == "it broke" and ours.errors["v3/1"] == NOT_PREDICTED
    assert "1 frames" in ours.errors["v2/0"]
    assert ours.seconds == theirs.seconds == 5.5
    assert one.facts == several.facts and one.truths == several.truths
    assert 0 < ours.counts["jf"][:, 0].mean() < 1
    answer = one.predictions["v0/0"].answer
    assert answer is not None and len(answer.tracks[0]) == 4


def test_a_damaged_line_ends_scoring_in_other_processes_too(tmp_path: Path) -> None:
    unit = unit_of({f"v{i}/0": Truth(tracks=(track(2),)) for i in range(3)})
    score(tmp_path, unit, {f"v{i}/0": [2] for i in range(3)})
    store = PredictionStore(tmp_path, "made", {"model": "made"})
    lines = store.path.read_bytes().split(b"\n")
    lines[2] = lines[2][:40]
    store.path.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match="is damaged"):
        score_unit(unit, load_task("refseg", tmp_path), {MODEL: store}, lambda: None, 2)


def value(found: UnitScores, key: str) -> float:
    (measure,) = [one for one in found.task.all_measures if one.key == key]
    return float(measure.finish(found.predictors[MODEL].counts[key].sum(axis=0)))


def test_revos_takes_the_mean_of_two_means_and_robustness(tmp_path: Path) -> None:
    truth = Truth(tracks=(track(2, 2),), foreground=track(2, 2))
    kinds = {
        "v/0": "referring",
        "v/1": "referring",
        "v/2": "referring",
        "v/3": "reasoning",
        "v/4": "nonexistent",
    }
    unit = unit_of(dict.fromkeys(kinds, truth), {id: {"type": kind} for id, kind in kinds.items()})
    found = score(
        tmp_path, unit, {"v/0": [2, 2], "v/1": [2, 2], "v/2": [18, 18], "v/3": [2, 2], "v/4": [18, 18]}
    )
    assert value(found, "jf") == pytest.approx(3 / 5)
    assert value(found, "jf_referring") == pytest.approx(2 / 3)
    assert value(found, "jf_reasoning") == 1.0
    assert value(found, "jf_overall") == pytest.approx((2 / 3 + 1) / 2)
    assert value(found, "robustness_referring") == pytest.approx(2 / 3, abs=1e-6)
    assert value(found, "robustness") == pytest.approx(3 / 5, abs=1e-6)


def test_without_types_there_is_no_overall(tmp_path: Path) -> None:
    found = score(tmp_path, unit_of({"v/0": Truth(tracks=(track(2),))}), {"v/0": [2]})
    assert "jf_overall" not in found.predictors[MODEL].counts
    assert "robustness" not in found.predictors[MODEL].counts


def test_ref_davis_protocols(tmp_path: Path) -> None:
    """The annotator's two answers are swapped: the assignment finds that, object by object does not."""
    truths = {"v/0": track(2, 2, 2), "v/1": track(18, 18, 18)}
    tags = {
        id: {"sequence": "v", "object": str(i + 1), "annotator": "a"} for i, id in enumerate(sorted(truths))
    }
    unit = unit_of({id: Truth(tracks=(one,)) for id, one in truths.items()}, tags)
    found = score(tmp_path, unit, {"v/0": [18, 18, 18], "v/1": [2, 2, 2]})
    assert value(found, "jf") == 0.0
    assert value(found, "jf_unsupervised") == 1.0
    assert value(found, "jf_semi") == 0.0
    right = score(tmp_path / "right", unit, {"v/0": [18, 2, 18], "v/1": [2, 18, 2]})
    assert value(right, "jf_semi") == 1.0, "first and last frame take no part"


def test_void_pixels_are_not_scored(tmp_path: Path) -> None:
    both = Truth(tracks=(track(2),), ignored=track(18))
    unit = unit_of({"v/0": both})
    store = PredictionStore(tmp_path, "made", {"model": "made"})
    answer = GroundedText("a", (), (MaskTrack.from_masks(0, [mask(2) | mask(18)]),))
    with store:
        store.append(Prediction("v/0", answer, 0.0), {})
    found = score_unit(unit, load_task("refseg", tmp_path), {MODEL: store}, lambda: None)
    assert value(found, "jf") == 1.0


def test_mevis_leaves_out_single_missing_answers(tmp_path: Path) -> None:
    unit = unit_of({id: Truth(tracks=(track(2),)) for id in ("a/0", "a/1", "b/0")})
    found = score(tmp_path, unit, {"a/0": [2], "a/1": "lost", "b/0": "lost"})
    assert value(found, "jf") == pytest.approx(1 / 3)
    assert value(found, "jf_official") == pytest.approx(1 / 2), "a/1 is left out, all of b counts as 0"


def test_decay_is_right_for_long_videos(tmp_path: Path) -> None:
    lefts = [2] * 300
    unit = unit_of({"v/0": Truth(tracks=(track(*lefts),))})
    found = score(tmp_path, unit, {"v/0": [2] * 150 + [18] * 150})
    assert value(found, "j_decay") == 1.0
    assert value(found, "j_recall") == 0.5
    assert np.isnan(value(found, "j_decay_official"))


def test_intervals_of_very_many_videos_resample_groups() -> None:
    rng = np.random.default_rng(1)
    values = rng.random(4 * MOST_GROUPS)
    counts = np.stack([values, np.ones_like(values)], axis=1)
    found = estimate(counts, [f"v{i:05d}" for i in range(len(values))])
    expected = 2 * 1.96 * values.std() / np.sqrt(len(values))
    assert found.high - found.low == pytest.approx(expected, rel=0.15)
    assert found.value == pytest.approx(values.mean())
    assert found.low < found.value < found.high


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_samples() -> None:
    few, many = (measure_apart(count, frames=300, workers=2) for count in (100, 1000))
    assert many["file"] > 9 * few["file"] > 10e6
    for process in ("own", "worker"):
        assert many[process] - few[process] < 6e6, f"{process}: {few[process]} to {many[process]}"
