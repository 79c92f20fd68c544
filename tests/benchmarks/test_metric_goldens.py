"""Equal to what the official evaluators printed (numbers kept beside the checkout)."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.metrics import captions, gcg, grounding, refseg
from benchmarks.metrics.clair import read_reply
from grounding_core.masks import MaskTrack

EXACT = 1e-9


class Cases:
    """A golden JSON file and the bit-packed arrays beside it."""

    def __init__(self, folder: Path, name: str, arrays: str | None = None) -> None:
        self.content: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        self._arrays = np.load(folder / f"{arrays}.npz") if arrays else {}

    def masks(self, key: str, *shape: int) -> np.ndarray:
        if key not in self._arrays:
            return np.zeros(shape, dtype=bool)
        return np.unpackbits(self._arrays[key])[: math.prod(shape)].reshape(shape).astype(bool)


def xyxy(box: list[float]) -> tuple[float, float, float, float]:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def tube(boxes: dict[str, list[float]], convert: Any = tuple) -> dict[int, Any]:
    return {int(frame): convert(box) for frame, box in boxes.items()}


def test_j_and_f(golden: Path) -> None:
    cases = Cases(golden, "refseg", "refseg")
    for case in cases.content["cases"]:
        shape = case["T"], case["H"], case["W"]
        truth, found = cases.masks(f"{case['key']}_gt", *shape), cases.masks(f"{case['key']}_pred", *shape)
        j, f = refseg.scores(truth, found)
        assert refseg.tolerance(shape[1:]) == case["bound_pix"]
        np.testing.assert_allclose(j, case["J_per_frame"], atol=EXACT, err_msg=case["kind"])
        np.testing.assert_allclose(f, case["F_per_frame"], atol=EXACT, err_msg=case["kind"])
        np.testing.assert_allclose(refseg.scores(found, truth)[1], case["F_swapped_per_frame"], atol=EXACT)
        for key, bound in (("F_per_frame_bound_th_2", 2), ("F_per_frame_bound_th_0p02", 0.02)):
            np.testing.assert_allclose(refseg.scores(truth, found, bound_th=bound)[1], case[key], atol=EXACT)
        if "J_per_frame_void" in case:
            j, f = refseg.scores(truth, found, cases.masks(f"{case['key']}_void", *shape))
            np.testing.assert_allclose(j, case["J_per_frame_void"], atol=EXACT)
            np.testing.assert_allclose(f, case["F_per_frame_void"], atol=EXACT)


def test_davis_statistics(golden: Path) -> None:
    checked = 0
    for case in Cases(golden, "refseg").content["db_statistics"]:
        if case["n"] >= 256:  # there the official quarters wrap
            continue
        found = refseg.statistics([float(value) for value in case["values"]])
        np.testing.assert_allclose(found, [float(case[key]) for key in ("M", "R", "D")], atol=EXACT)
        checked += 1
    assert checked > 10


def test_tubes_as_tubedetr(golden: Path) -> None:
    content = Cases(golden, "grounding").content
    for case in content["shared_cases"]:
        given = case["tubedetr_inputs"]
        found = grounding.tube_scores(
            tube(case["gt_tube_xywh"], xyxy),
            (given["tube_start_frame"], given["tube_end_frame"]),
            tube(case["pred_boxes_from_masks_xyxy"]),
            tuple(given["pred_sted"]),
            range(given["start_frame"], given["end_frame"]),
        )
        for key in ("tiou", "viou", "gt_viou"):
            assert getattr(found, key) == pytest.approx(case["tubedetr"][key], abs=EXACT), case["kind"]
    for case in content["tubedetr_cases"]:
        for run in ("fps5_max200", "fps5_max10", "fps2_max200"):
            expected = case[f"expected_{run}"]
            found = grounding.tube_scores(
                tube(case["gt_tube_xywh"], xyxy),
                (case["tube_start_frame"], case["tube_end_frame"]),
                tube(case["pred_tube_xyxy"]),
                tuple(case["pred_sted"]),
                expected["frame_ids_used"],
            )
            for key in ("tiou", "viou", "gt_viou"):
                assert getattr(found, key) == pytest.approx(expected[key], abs=EXACT), (case["kind"], run)


def test_tubes_as_videoglamm(golden: Path) -> None:
    cases = Cases(golden, "grounding", "grounding_masks")
    for case in cases.content["shared_cases"]:
        masks = cases.masks(f"{case['key']}_pred_masks", case["T"], case["n_obj"], case["H"], case["W"])
        boxes = {
            frame: grounding.videoglamm_box(grounding.remove_small_blobs(masks[frame, -1]))
            for frame in range(case["T"])
        }
        assert boxes == tube(case["pred_boxes_from_masks_xyxy"]), case["kind"]
        found = grounding.videoglamm_scores(
            tube(case["gt_tube_xywh"], xyxy),
            (case["gt_first_frame"], case["gt_last_frame"]),
            boxes,
            (case["pred_first_frame"], case["pred_last_frame"]),
            range(case["T"]),
        )
        for key in ("tiou", "viou", "gt_viou"):
            assert getattr(found, key) == pytest.approx(case["videoglamm"][key], abs=1e-6), case["kind"]


def test_blobs_and_moments(golden: Path) -> None:
    cases = Cases(golden, "grounding", "grounding_masks")
    for case in cases.content["mask_cases"]:
        mask = cases.masks(case["key"], case["H"], case["W"])
        assert grounding.remove_small_blobs(mask).sum() == case["area_after"], case["kind"]
    for case in cases.content["tiou_table"]:
        found = grounding.temporal_iou(tuple(case["gt"]), tuple(case["pred"]))
        assert found == pytest.approx(case["tiou"], abs=EXACT)


def test_grounded_captions(golden: Path) -> None:
    cases = Cases(golden, "gcg", "gcg")
    miou = {}
    for case in cases.content["samples"]:
        shape = case["T"], case["H"], case["W"]
        predicted = tracks(cases.masks(f"{case['key']}_pred", case["n_pred_masks"], *shape))
        truth = tracks(cases.masks(f"{case['key']}_gt", case["n_gt_masks"], *shape))
        table = gcg.iou_matrix(predicted, truth)
        expected = np.array(case["iou_matrix_pred_by_gt"], dtype=float).reshape(table.shape)
        np.testing.assert_allclose(table, expected, atol=EXACT, err_msg=case["kind"])
        assert gcg.miou_official(table) == pytest.approx(case["miou"], abs=EXACT), case["kind"]
        miou[case["key"]] = case["miou"]
        for name, match in case.get("matches", {}).items():
            iou, text = name.removeprefix("iou").split("_text")
            pairs = gcg.matches_official(
                table.T, case["text_sim_gt_by_pred"], min_iou=float(iou), min_text=float(text)
            )
            assert pairs == [tuple(pair) for pair in match["pairs_gt_pred"]], (case["kind"], name)
    clean = cases.content["scenarios"]["clean_both"]
    mean = np.mean([miou[key] for key in clean["sample_keys"]])
    assert mean == pytest.approx(clean["mean_miou"], abs=EXACT)


def tracks(masks: np.ndarray) -> list[MaskTrack]:
    return [MaskTrack.from_masks(index, track) for index, track in enumerate(masks)]


def test_captions(golden: Path) -> None:
    content = Cases(golden, "caption").content
    cases, pairs = content["cases"], content["meteor_pairs"]
    scorer = captions.CaptionScorer()
    single = scorer.prepare([(case["candidate"], tuple(case["references"][:1])) for case in cases])
    multi = scorer.prepare([(case["candidate"], tuple(case["references"])) for case in cases])
    assert [candidate for candidate, _ in multi] == [case["tok_candidate"] for case in cases]
    raw = [(pair["candidate"], (pair["reference"],)) for pair in pairs]
    # One start of METEOR for everything: it takes seconds to read its tables.
    counts = captions.meteor_counts(scorer.meteor_statistics([*single, *multi, *raw]))
    parts = np.split(counts, [len(cases), 2 * len(cases)])
    for kind, given, part in (("single", single, parts[0]), ("multi", multi, parts[1])):
        np.testing.assert_allclose(
            captions.meteor_score(part), [case[kind]["METEOR"] for case in cases], atol=EXACT
        )
        corpus = content["corpus"][kind]
        assert captions.meteor_score(part.sum(axis=0)) == pytest.approx(corpus["METEOR"], abs=EXACT)
        cider = scorer.cider(given)
        np.testing.assert_allclose(cider, [case[kind]["CIDEr"] for case in cases], atol=EXACT)
        assert cider.mean() == pytest.approx(corpus["CIDEr"], abs=EXACT)
    np.testing.assert_allclose(captions.meteor_score(parts[2]), [pair["score"] for pair in pairs], atol=EXACT)
    assert captions.meteor_score(parts[2].sum(axis=0)) == pytest.approx(content["meteor_pairs_corpus"])
    table = content["tokenizer_table"]
    assert captions.tokenize([row["text"] for row in table]) == [row["tokens"] for row in table]


def test_clair_replies(golden: Path) -> None:
    for case in Cases(golden, "clair").content["cases"]:
        expected = case["expected"]
        if expected["exception"] is not None:
            with pytest.raises((TypeError, ValueError)):
                read_reply(case["reply"])
            continue
        found = read_reply(case["reply"])
        assert (found.score if found else 0) == pytest.approx(float(expected["score"]), nan_ok=True), case[
            "kind"
        ]
        assert (found.reason if found else None) == expected["reason"], case["kind"]
