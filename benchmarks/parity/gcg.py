"""Grounded captions: tube IoU, matching, and the whole script over folders of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.metrics import gcg
from benchmarks.parity.golden import Golden, Row, numbers
from grounding_core.masks import MaskTrack

Matrix = npt.NDArray[np.float64]


def check_gcg(folder: Path) -> list[Row]:
    """Every sample at every threshold, every scenario, and the reading of replies."""
    golden = Golden(folder, "gcg", "gcg")
    tables = {
        case["key"]: gcg.iou_matrix(_tracks(golden, case, "pred"), _tracks(golden, case, "gt"))
        for case in golden.content["samples"]
    }
    return [*_samples(golden, tables), *_scenarios(golden, tables), _captions(golden)]


def _tracks(golden: Golden, case: Mapping[str, Any], kind: str) -> list[MaskTrack]:
    masks = golden.masks(f"{case['key']}_{kind}", case[f"n_{kind}_masks"], case["T"], case["H"], case["W"])
    return [MaskTrack.from_masks(index, track) for index, track in enumerate(masks)]


def _samples(golden: Golden, tables: Mapping[str, Matrix]) -> list[Row]:
    ious, mious, matches = Row("tube IoU"), Row("mIoU"), Row("matches, true positives, recall")
    for case in golden.content["samples"]:
        table = tables[case["key"]]
        expected = np.asarray(numbers(case["iou_matrix_pred_by_gt"]), dtype=np.float64)
        ious.add(table, expected.reshape(table.shape))
        mious.add(gcg.miou_official(table), case["miou"])
        for name, match in case.get("matches", {}).items():
            iou, text = name.removeprefix("iou").split("_text")
            words = case["text_sim_gt_by_pred"]
            pairs = gcg.matches_official(table.T, words, min_iou=float(iou), min_text=float(text))
            matches.same(pairs, [tuple(pair) for pair in match["pairs_gt_pred"]])
            matches.same(len(pairs), match["true_positives"])
            total = len(case["gt_phrases"])
            recall = len(pairs) / total if total else None
            if recall is None or match["recall"] is None:
                matches.same(recall, match["recall"])
            else:
                matches.add(recall, match["recall"])
    return [ious, mious, matches]


@dataclass
class _Totals:
    """What the script has added up."""

    mious: list[float] = field(default_factory=list)
    true_positives: int = 0
    actual_positives: int = 0
    errors: list[str] = field(default_factory=list)


def _scenarios(golden: Golden, tables: Mapping[str, Matrix]) -> list[Row]:
    samples = {case["key"]: case for case in golden.content["samples"]}
    rows = []
    for name, expected in golden.content["scenarios"].items():
        row = Row(f"gcg script, {name.replace('_', ' ')}")
        found = _run(samples, tables, expected, golden.content["default_thresholds"])
        if "--eval_miou" in expected["flags"]:
            row.add(found.mious, expected["mious"])
            row.add(np.mean(found.mious), expected["mean_miou"])
        if "--eval_recall" in expected["flags"]:
            row.same(found.true_positives, expected["true_positives"])
            row.same(found.actual_positives, expected["actual_positives"])
            total = found.actual_positives
            row.add(found.true_positives / total if total else 0.0, expected["recall"])
        row.same(found.errors, expected["errors_printed"])
        rows.append(row)
    return rows


def _run(
    samples: Mapping[str, Mapping[str, Any]],
    tables: Mapping[str, Matrix],
    scenario: Mapping[str, Any],
    thresholds: Mapping[str, float],
) -> _Totals:
    """The script over a folder: absent results are left out of the list, mask folders keep their place."""
    folders: Sequence[str] = scenario["sample_keys"]
    missing = set(scenario.get("missing_result_positions", ()))
    results = [samples[key] for place, key in enumerate(folders) if place not in missing]
    totals = _Totals()
    for place, result in enumerate(results):
        masks = samples[folders[place]]
        n_truth, n_found = len(result["gt_phrases"]), len(result["pred_phrases"])
        totals.actual_positives += n_truth
        lost = _lost(masks, n_truth, n_found)
        if lost is not None:
            path = f"<dir>/video_gcg/{place:06d}/{lost}/mask_0.png"
            totals.errors.append(
                f"Error in processing {place}: [Errno 2] No such file or directory: '{path}'"
            )
            totals.mious.append(0.0)
            continue
        table = tables[folders[place]][:n_found, :n_truth]
        totals.mious.append(gcg.miou_official(table))
        pairs = gcg.matches_official(
            table.T, result["text_sim_gt_by_pred"], min_iou=thresholds["iou"], min_text=thresholds["text"]
        )
        totals.true_positives += len(pairs)
    return totals


def _lost(masks: Mapping[str, Any], n_truth: int, n_found: int) -> str | None:
    """The first mask folder that a result names and that is not there."""
    if n_truth > masks["n_gt_masks"]:
        return f"gt_masks_{masks['n_gt_masks']}"
    return f"pred_masks_{masks['n_pred_masks']}" if n_found > masks["n_pred_masks"] else None


def _captions(golden: Golden) -> Row:
    row = Row("captions and phrases of replies")
    for case in golden.content["clean_caption"]:
        text, phrases = gcg.read_markup_official(case["raw"])
        row.same(text, case["cleaned"])
        row.same(phrases, case["phrases"])
    return row
