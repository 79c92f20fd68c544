"""Published rows and protocol facts: complete, sourced, and shown for their own split only."""

import yaml

import benchmarks.published
from benchmarks.published import protocol_facts, reference_rows
from benchmarks.report.text import markdown
from grounding_core.plugins import registry

FOLDER = benchmarks.published.__path__[0]


def test_every_row_names_a_measure_a_split_and_a_paper() -> None:
    with open(f"{FOLDER}/reference_rows.yaml", encoding="utf-8") as file:
        systems = yaml.safe_load(file)
    assert len({system["system"] for system in systems}) == len(systems) >= 8
    for system in systems:
        assert "arXiv:" in system["source"], system["system"]
        for row in system["rows"]:
            name, split = row["data"].split(":")
            dataset = registry().load("dataset", name)
            assert row["task"] in dataset.tasks and split in dataset.splits, row
            measures = {measure.key for measure in registry().load("task", row["task"]).measures}
            assert row["measure"] in measures, row
            assert 0 < row["value"] < 100


def test_a_split_shows_its_own_rows_only() -> None:
    rows = {row.system: row.value for row in reference_rows("refseg", "mevis", "valid")}
    assert rows["VideoGLaMM (3.8B)"] == 45.2 and rows["Molmo2-4B"] == 63.3
    assert {row.value for row in reference_rows("refseg", "mevis", "valid_u")}.isdisjoint(rows.values())
    assert reference_rows("refseg", "mevis", "train") == []
    assert reference_rows("refseg", "sprites", "test") == []


def test_means_of_means_stand_beside_the_measure_that_is_one() -> None:
    assert {row.measure for row in reference_rows("refseg", "revos", "valid")} == {"jf_overall"}
    (row,) = (row for row in reference_rows("refseg", "ref-davis17", "valid") if "VideoGLaMM (" in row.system)
    assert row.measure == "jf_unsupervised"


def test_facts_of_task_set_and_split_come_together() -> None:
    facts = protocol_facts("refseg", "mevis", "valid_u")
    assert {"average", "split", "truth"} <= facts.keys()
    assert facts["truth"] != protocol_facts("refseg", "mevis", "valid")["truth"]


def test_rows_of_a_report_carry_their_source() -> None:
    measure = {"key": "jf", "label": "J&F", "help": "mean", "percent": True, "brief": True}
    result = {
        "task": "refseg", "title": "Referring segmentation", "dataset": "mevis", "split": "valid_u", "n": 3,
        "total": 793, "videos": 2, "headline": "jf", "measures": [measure], "breakdown": {}, "protocol": {},
        "predictors": {"model": {"errors": 1, "values": {"jf": {"value": 0.5, "low": None, "high": None}}}},
        "notes": [], "failures": [], "licence": "CC", "references": [
            {"system": "Sa2VA-8B", "measure": "jf", "value": 57.0, "source": "arXiv:2501.04001", "note": ""}
        ],
    }  # fmt: skip
    text = markdown({"model": "mine", "fingerprint": {}, "platform": {}, "results": [result]})
    assert "| Sa2VA-8B | J&F | 57.0 | arXiv:2501.04001 |" in text
    assert "| **mine** | 50.0 | 3 | 1 |" in text
