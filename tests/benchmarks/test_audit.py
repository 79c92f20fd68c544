"""Faults planted in good data are found, and good data stays good."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.audit.auditing import Questions, audit, below, named
from benchmarks.audit.findings import KINDS, Audited, Fault
from benchmarks.audit.misfits import readable
from benchmarks.audit.planting import MISFIT, OF_WORDS, kinds, plant, twin
from benchmarks.image_text import named_image_text
from grounding_core.cli import main
from grounding_core.errors import DataError, GroundingError, RecipeError
from grounding_core.interfaces.dataset import Sample
from grounding_core.plugins import registry

VIDEOS = 8


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sprites")
    registry().load("dataset", "sprites")().prepare(folder, split="test", seed=11, videos=VIDEOS)
    return folder


@pytest.fixture(scope="module")
def good(root: Path) -> dict[str, Questions]:
    return {questions.task: questions for questions in named("sprites", "test", root)}


def audited(questions: Questions, samples: Sequence[Sample]) -> list[Audited]:
    return audit([replace(questions, samples=samples)])


def found(questions: Questions, sample: Sample) -> set[str]:
    (one,) = audited(questions, [sample])
    return {fault.kind for fault in one.faults}


def test_good_data_has_almost_no_findings(good: dict[str, Questions]) -> None:
    for questions in good.values():
        faulty = [one for one in audit([questions]) if one.faults]
        assert len(faulty) <= 0.05 * len(questions.samples), faulty


@pytest.mark.parametrize("kind", [kind for kind in kinds() if kind not in ("box-outside", *OF_WORDS)])
def test_planted_faults_of_captions_are_found(kind: str, good: dict[str, Questions]) -> None:
    rng = np.random.default_rng(0)
    faulty = [changed for s in good["gcg"].samples if (changed := plant(s, kind, rng)) is not None][:4]
    assert faulty
    hits = [kind in found(good["gcg"], sample) for sample in faulty]
    assert sum(hits) >= 0.75 * len(hits)


@pytest.mark.parametrize(("component", "count"), [("{type: colour}", 8), ("{type: visual_words}", 5)])
def test_phrases_of_the_wrong_object_are_found(
    component: str, count: int, good: dict[str, Questions]
) -> None:
    """Phrases that change their objects, and phrases from elsewhere; each named as what it is."""
    samples = good["gcg"].samples[:count]
    model = named_image_text(component)
    phrases = [phrase for sample in samples for phrase, _ in readable(sample)]
    rng = np.random.default_rng(1)
    for kind in OF_WORDS:
        faulty = [f for s in samples if (f := plant(s, kind, rng, phrases)) is not None]
        told = audit([replace(good["gcg"], samples=faulty)], image_text=model)
        hits = [{fault.kind for fault in one.faults} & {*OF_WORDS} for one in told]
        assert sum(kind in kinds for kinds in hits) >= 0.5 * len(faulty) > 1, (kind, hits)
        assert all(fault.frames and fault.tracks for one in told for fault in one.faults)
    clean = audit([replace(good["gcg"], samples=samples)], image_text=model)
    assert sum(bool(one.faults) for one in clean) <= 2


def test_an_image_text_component_is_named_in_yaml(good: dict[str, Questions]) -> None:
    with pytest.raises(DataError, match="--image-text"):
        named_image_text("{type: [}")
    whole = named_image_text("{type: visual_words, recipe: no-such-recipe}")
    with pytest.raises(GroundingError, match="no-such-recipe"):
        audit([replace(good["gcg"], samples=good["gcg"].samples[:1])], image_text=whole)


def test_a_reworded_phrase_leaves_the_others(good: dict[str, Questions]) -> None:
    sample = good["gcg"].samples[0]
    before = sample.load_truth().caption
    changed = plant(sample, MISFIT, np.random.default_rng(0), ["one purple elephant in the rain"])
    assert changed is not None and before is not None
    after = changed.load_truth().caption
    assert after is not None and after.tracks == before.tracks
    said = [(before.phrase(a), after.phrase(b)) for a, b in zip(before.spans, after.spans, strict=True)]
    assert [b for a, b in said if a != b] == ["one purple elephant in the rain"]
    assert plant(sample, MISFIT, np.random.default_rng(0)) is None, "there are no others"


def test_boxes_outside_the_picture_are_found(good: dict[str, Questions]) -> None:
    sample = plant(good["grounding"].samples[0], "box-outside", np.random.default_rng(0))
    assert sample is not None and found(good["grounding"], sample) == {"box-outside"}


def test_twins_with_other_captions_are_found(good: dict[str, Questions]) -> None:
    one, other = good["gcg"].samples[:2]
    copy, same = twin(one, other), replace(twin(one, one), id="same", video_id="same")
    told = {a.sample: {f.kind for f in a.faults} for a in audited(good["gcg"], [one, copy, other])}
    assert "caption-disagreement" in told[one.id] & told[copy.id]
    assert not told[other.id]
    assert not any(a.faults for a in audited(good["gcg"], [one, same, other]))


def test_an_object_that_the_caption_does_not_name_is_found(root: Path, tmp_path: Path) -> None:
    """Through the reader, which keeps such objects out of the caption's tracks."""
    path = root / "video_gcg/instruction_data/test.json"
    content = json.loads(path.read_text())
    caption = content["videos"][0]["dense_cap"]
    gone = caption["mask_id"][0]
    kept = [place for place, id in enumerate(caption["mask_id"]) if id != gone]
    for field in ("mask_id", "token_pos"):
        caption[field] = [caption[field][place] for place in kept]
    (tmp_path / "video_gcg/burst/frames").mkdir(parents=True)
    (tmp_path / "video_gcg/burst/frames/test").symlink_to(root / "video_gcg/burst/frames/test")
    (tmp_path / "video_gcg/instruction_data").mkdir()
    (tmp_path / "video_gcg/instruction_data/test.json").write_text(json.dumps(content))
    first = next(one for one in audit(below(tmp_path)) if one.sample.endswith("#0"))
    assert [fault.kind for fault in first.faults] == ["mask-without-phrase"]


def test_a_score_grows_with_kinds_not_with_repeats() -> None:
    def score(*faults: Fault) -> float:
        return Audited("d", "s", "t", "id", "v", faults).score

    jump, swap = Fault("jumping-mask", 0.6, ""), Fault("identity-swap", 0.5, "")
    assert score() == 0 and score(jump) == score(jump, jump) == 0.6
    assert score(jump, swap) == pytest.approx(0.8)


def test_the_command_writes_what_it_found(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    gcg = data / "video_gcg"
    gcg.mkdir(parents=True)
    (gcg / "burst").symlink_to(root / "video_gcg/burst")
    (gcg / "instruction_data").mkdir()
    content = json.loads((root / "video_gcg/instruction_data/test.json").read_text())
    for entry in content["annotations"]:
        if entry["video_id"] == 0:
            entry["segmentations"] = [None] * len(entry["segmentations"])
    (gcg / "instruction_data/test.json").write_text(json.dumps(content))
    monkeypatch.setattr(
        sys,
        "argv",
        ["grounding", "data", "audit", str(data), "--videos", "3", "--out", str(tmp_path / "out")],
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert "empty-mask" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "out/findings.jsonl").read_text().splitlines()]
    assert lines and {line["kind"] for line in lines} <= set(KINDS)
    assert lines[0]["kind"] == "empty-mask" and lines[0]["video"].endswith("00000") and lines[0]["reason"]
    scores = json.loads((tmp_path / "out/scores.json").read_text())["video-gcg/gcg"]
    assert len(scores) == 3 and sorted(score > 0.2 for score in scores.values()) == [False, False, True]
    shown = (tmp_path / "out/index.html").read_text()
    assert lines[0]["sample"] in shown and "data:image/jpeg" in shown
    (total,) = json.loads((tmp_path / "out/totals.json").read_text())
    assert total["samples"] == 3 and total["faulty"] == 1


def test_a_folder_without_data_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No installed reader"):
        below(tmp_path)


def test_training_leaves_out_what_scores_too_high(good: dict[str, Questions], tmp_path: Path) -> None:
    from grounding_core.training.config import TrainConfig
    from grounding_core.training.data import pool

    samples = good["gcg"].samples
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({"sprites/gcg": {samples[0].id: 0.6, samples[1].id: 0.1}}))
    sources = {("sprites", "gcg"): samples}

    def kept(config: TrainConfig) -> set[str]:
        return {sample.id for group in pool(sources, config).groups for sample in group}

    everything = {sample.id for sample in samples}
    assert kept(TrainConfig(audit=str(scores))) == everything - {samples[0].id}
    assert kept(TrainConfig(audit=str(scores), max_audit=0.05)) == everything - {s.id for s in samples[:2]}
    with pytest.raises(DataError, match="knows none of the data sets"):
        pool({("mevis", "refseg"): samples}, TrainConfig(audit=str(scores)))


def test_clean_noisy_and_filtered_sets_are_of_one_size(good: dict[str, Questions]) -> None:
    from benchmarks.audit.training import sets

    made, facts = sets(good["gcg"], 0.5, 0, named_image_text("{type: colour}"))
    assert len({len(samples) for samples in made.values()}) == 1 and list(made) == [
        "clean",
        "noisy",
        "filtered",
    ]
    assert facts["planted"] == round(0.5 * facts["samples"]) and facts["kept"] == len(made["filtered"])
    assert facts["planted that were kept"] <= facts["planted"] / 2
    by_id = {sample.id: sample for sample in good["gcg"].samples}
    assert all(sample is by_id[sample.id] for sample in made["clean"])
    assert any(sample is not by_id[sample.id] for sample in made["noisy"])


def test_several_faults_of_different_kinds_are_planted(good: dict[str, Questions]) -> None:
    from benchmarks.audit.training import noisy

    _, planted = noisy(good["gcg"].samples, 0.5, 0, faults=3)
    assert len(planted) == round(0.5 * VIDEOS)
    assert all(len(set(mine)) == len(mine) and 1 < len(mine) <= 3 for mine in planted.values())


def test_sets_are_trained_on_alike_and_scored_by_phrases(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.audit import training

    asked = ["sprites", "--data-root", str(root), "--split", "test", "--validation", "test", "--seed", "1"]
    asked += ["--videos", "4", "--scored", "1", "--out", str(tmp_path / "out")]

    def run(*more: str) -> None:
        training.app([*asked, *more], standalone_mode=False)

    run("--steps", "1")
    told = json.loads((tmp_path / "out/training.json").read_text())
    assert set(told["measures"]) == set(told["counts"]) == {"clean", "noisy", "filtered"}
    assert all(0 <= value <= 1 for row in told["measures"].values() for value in row.values())
    assert "95 % interval" in capsys.readouterr().out
    weights = tmp_path / "out/clean/checkpoint/model.safetensors"
    written = weights.stat().st_mtime_ns
    run("--steps", "1")
    assert weights.stat().st_mtime_ns == written, "what is done is kept"
    with pytest.raises(DataError, match="other settings"):
        run("--steps", "2")
    with pytest.raises(DataError, match="other settings"):
        run("--steps", "1", "--from", str(tmp_path / "out/noisy/checkpoint"))
    with pytest.raises(DataError, match="no stage 'none'"):
        run("--stage", "none")
    with pytest.raises(RecipeError, match=r"training\.prompts\.lr"):
        run("--option", "lr=fast")


def test_the_interval_of_paired_ious() -> None:
    from benchmarks.audit.words import interval

    low, high = interval([0.5, 0.7, 0.9] * 20, [0.4, 0.6, 0.8] * 20)
    assert low == pytest.approx(0.1) and high == pytest.approx(0.1)
    low, high = interval([0.0, 1.0] * 20, [1.0, 0.0] * 20)
    assert low < 0 < high
