"""Tubes as TubeDETR, HC-STVG and VideoGLaMM score them; moments, frame sampling, blobs and boxes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.metrics import grounding
from benchmarks.metrics.grounding import Box, TubeScores, box_iou_official
from benchmarks.parity.golden import FLOAT32, Golden, Row

_SAMPLING = re.compile(r"fps([\d.]+)_max(\d+)")
"""Names of runs say what they sample, e.g. ``fps5_max200``."""

HCSTVG_SECONDS = 20

Numbers = dict[str, float]


def check_grounding(folder: Path) -> list[Row]:
    """Every sample and every average of the three evaluators."""
    golden = Golden(folder, "grounding", "grounding_masks")
    return [
        *_shared(golden),
        _sequence(golden),
        *_tubedetr(golden),
        _nan(golden),
        *_hcstvg(golden),
        *_parts(golden),
    ]


def _xyxy(box: Sequence[float]) -> Box:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def _tube(boxes: Mapping[str, Sequence[float]], convert: Callable[[Any], Any] = tuple) -> dict[int, Box]:
    return {int(frame): convert(box) for frame, box in boxes.items()}


def _found(scores: TubeScores, *, moments: bool = True) -> Numbers:
    """As the evaluators name them; without localisation in time only gt_vIoU is left."""
    values = {"tiou": scores.tiou, "viou": scores.viou, "gt_viou": scores.gt_viou, **scores.flags()}
    return {key: value for key, value in values.items() if moments or key.startswith("gt_viou")}


def _compare(row: Row, found: Numbers, expected: Mapping[str, Any]) -> None:
    row.each(found, {key: expected[key] for key in expected if key.split("@")[0] in _METRICS})


_METRICS = ("tiou", "viou", "gt_viou")


def _averages(samples: Iterable[tuple[str, Numbers]]) -> dict[str, Numbers]:
    """Mean by question type; sums in order, so that one NaN makes its mean NaN."""
    groups: dict[str, list[Numbers]] = {}
    for qtype, numbers in samples:
        groups.setdefault(qtype, []).append(numbers)
    return {
        qtype: {key: sum(numbers[key] for numbers in rows) / len(rows) for key in rows[0]}
        for qtype, rows in groups.items()
    }


def _flat(averages: Mapping[str, Numbers]) -> Numbers:
    return {f"{qtype}_{key}": value for qtype, row in averages.items() for key, value in row.items()}


def _cleaned(golden: Golden, case: Mapping[str, Any]) -> list[npt.NDArray[np.bool_]]:
    """The last object's mask in each frame, without small blobs."""
    masks = golden.masks(f"{case['key']}_pred_masks", case["T"], case["n_obj"], case["H"], case["W"])
    return [grounding.remove_small_blobs(mask[-1]) for mask in masks]


def _shared(golden: Golden) -> list[Row]:
    boxes, tubedetr, theirs, no_moment, averages = (
        Row("boxes of masks"),
        Row("tubes, TubeDETR"),
        Row("tubes, VideoGLaMM", FLOAT32),
        Row("tubes, VideoGLaMM, no moments", FLOAT32),
        Row("means by question type", FLOAT32),
    )
    kept: dict[str, list[tuple[str, Numbers]]] = {
        "tubedetr": [],
        "videoglamm": [],
        "videoglamm_no_tmp_loc": [],
    }
    for case in golden.content["shared_cases"]:
        truth = _tube(case["gt_tube_xywh"], _xyxy)
        found = dict(enumerate(map(grounding.videoglamm_box, _cleaned(golden, case))))
        boxes.each({str(frame): box for frame, box in found.items()}, case["pred_boxes_from_masks_xyxy"])
        scores = _shared_tubedetr(case, truth, found)
        _compare(tubedetr, _found(scores), case["tubedetr"])
        tubedetr.each(_by_name(scores.frames), case["tubedetr"]["frame_iou"])
        kept["tubedetr"].append((case["qtype"], _found(scores)))
        scores = _shared_videoglamm(case, truth, found)
        for name, row in (("videoglamm", theirs), ("videoglamm_no_tmp_loc", no_moment)):
            numbers = _found(scores, moments=row is theirs)
            _compare(row, numbers, case[name])
            row.each(_by_name(scores.frames), case[name]["frame_iou"])
            used = {str(frame): found[frame] for frame in scores.frames}
            row.each(used, case[name]["frame_pred_box"])
            kept[name].append((case["qtype"], numbers))
        theirs.add(_moments(case), [case["videoglamm"]["gt_sted_used"], case["videoglamm"]["pred_sted_used"]])
    content = golden.content["shared_aggregate"]
    averages.each(_flat(_averages(kept["tubedetr"])), content["tubedetr"])
    for name in ("videoglamm", "videoglamm_no_tmp_loc"):
        _compare_summary(averages, kept[name], len(golden.content["shared_cases"]), content[name])
    return [boxes, tubedetr, theirs, no_moment, averages]


def _by_name(frames: Mapping[int, float]) -> Numbers:
    return {str(frame): value for frame, value in frames.items()}


def _moments(case: Mapping[str, Any]) -> list[tuple[int, int]]:
    return [
        (case["gt_first_frame"], case["gt_last_frame"]),
        (case["pred_first_frame"], case["pred_last_frame"]),
    ]


def _shared_tubedetr(case: Mapping[str, Any], truth: dict[int, Box], found: dict[int, Box]) -> TubeScores:
    given = case["tubedetr_inputs"]
    frames = grounding.sampled_frames(
        given["start_frame"], given["end_frame"], given["video_fps"], given["fps"]
    )
    moment = given["tube_start_frame"], given["tube_end_frame"]
    return grounding.tube_scores(truth, moment, found, tuple(given["pred_sted"]), frames, box_iou_official)


def _shared_videoglamm(case: Mapping[str, Any], truth: dict[int, Box], found: dict[int, Box]) -> TubeScores:
    moment, predicted = _moments(case)
    return grounding.videoglamm_scores(truth, moment, found, predicted, range(case["T"]))


def _compare_summary(
    row: Row, kept: Sequence[tuple[str, Numbers]], total: int, expected: Mapping[str, Any]
) -> None:
    averages = _averages(kept)
    row.same(sorted(averages), sorted(expected["per_qtype"]))
    for qtype, numbers in averages.items():
        row.each(numbers, expected["per_qtype"].get(qtype, {}))
    counts = {qtype: sum(1 for other, _ in kept if other == qtype) for qtype in averages}
    row.each(counts, expected["counts"])
    row.add([total, len(kept)], [expected["n_total"], expected["n_scored"]])


def _sequence(golden: Golden) -> Row:
    """A run in which a reply without an interval takes over the one before, or is dropped."""
    row = Row("VideoGLaMM, a run in order", FLOAT32)
    shared = {case["key"]: case for case in golden.content["shared_cases"]}
    content = golden.content["videoglamm_sequence"]
    kept: list[tuple[str, Numbers]] = []
    interval: tuple[int, int] | None = None
    for step in content["cases"]:
        case, expected = shared[step["base_key"]], step["videoglamm"]
        interval = grounding.written_interval(step["reply_text"]) or interval
        moment = tuple(step.get("inter_idx") or _moments(case)[0])
        predicted = set(range(case["T"])) - set(step.get("drop_frames") or ())
        # One unanswered frame of the true moment, or no interval so far, and the sample is gone.
        dropped = interval is None or not predicted.issuperset(range(moment[0], moment[1] + 1))
        row.same(dropped, bool(expected.get("dropped")))
        if dropped or interval is None or expected.get("dropped"):
            continue
        boxes = enumerate(map(grounding.videoglamm_box, _cleaned(golden, case)))
        scores = grounding.videoglamm_scores(
            _tube(case["gt_tube_xywh"], _xyxy), moment, dict(boxes), interval, range(case["T"])
        )
        _compare(row, _found(scores), expected)
        row.each(_by_name(scores.frames), expected["frame_iou"])
        row.add([moment, interval], [expected["gt_sted_used"], expected["pred_sted_used"]])
        kept.append((case["qtype"], _found(scores)))
    _compare_summary(row, kept, len(content["cases"]), content["aggregate"])
    return row


def _tubedetr(golden: Golden) -> list[Row]:
    rows = []
    cases = golden.content["tubedetr_cases"]
    for run, expected in golden.content["tubedetr_aggregate"].items():
        row = Row(f"VidSTG sampling, {run}")
        kept = []
        sampling = _SAMPLING.fullmatch(run)
        fps, limit = (float(sampling[1]), int(sampling[2])) if sampling else (5, 200)
        for case in cases:
            start, end = case["start_frame"], case["end_frame"]
            if sampling is None:
                # Without localisation in time the evaluator ends where the tube starts: a fault of its own.
                start = end = case["tube_start_frame"]
            frames = grounding.sampled_frames(start, end, case["video_fps"], fps, limit)
            scores = _tube_case(case, case["gt_tube_xywh"], case["pred_tube_xyxy"], frames)
            numbers = _found(scores, moments=sampling is not None)
            row.add(frames, case[f"expected_{run}"]["frame_ids_used"])
            _compare(row, numbers, case[f"expected_{run}"])
            kept.append((case["qtype"], numbers))
        row.each(_flat(_averages(kept)), expected)
        rows.append(row)
    return rows


def _tube_case(
    case: Mapping[str, Any], truth: Mapping[str, Any], found: Mapping[str, Any], frames: Sequence[int]
) -> TubeScores:
    moment = case["tube_start_frame"], case["tube_end_frame"]
    start, end = case["pred_sted"]
    return grounding.tube_scores(
        _tube(truth, _xyxy), moment, _tube(found), (start, end), frames, box_iou_official
    )


def _nan(golden: Golden) -> Row:
    """One pair of boxes without area spoils the average of its whole question type."""
    row = Row("TubeDETR, 0/0")
    first, other = golden.content["tubedetr_cases"][0], golden.content["tubedetr_cases"][2]
    flat = {
        **first,
        "gt_tube_xywh": dict.fromkeys(first["gt_tube_xywh"], (10, 10, 0, 0)),
        "pred_tube_xyxy": dict.fromkeys(first["pred_tube_xyxy"], (10, 10, 10, 10)),
    }
    kept = []
    samples = (("declarative", first), ("declarative", flat), ("interrogative", other))
    for (qtype, case), expected in zip(samples, golden.content["tubedetr_nan"]["per_case"], strict=True):
        frames = grounding.sampled_frames(case["start_frame"], case["end_frame"], case["video_fps"])
        scores = _tube_case(case, case["gt_tube_xywh"], case["pred_tube_xyxy"], frames)
        _compare(row, _found(scores), expected)
        kept.append((qtype, _found(scores)))
    row.each(_flat(_averages(kept)), golden.content["tubedetr_nan"]["aggregate"])
    return row


def _hcstvg(golden: Golden) -> list[Row]:
    row, averages = Row("tubes, HC-STVG"), Row("means, HC-STVG")
    kept = []
    for case in golden.content["hcstvg_cases"]:
        count = case["frame_count"]
        frames = grounding.sampled_frames(0, count - 1, count / HCSTVG_SECONDS)
        row.add(frames, case["frame_ids_used"])
        scores = _tube_case(case, case["trajectory_xywh"], case["pred_xyxy"], frames)
        _compare(row, _found(scores), case["expected"])
        kept.append(("all", _found(scores)))
    averages.each(_averages(kept)["all"], golden.content["hcstvg_aggregate"])
    return [row, averages]


def _parts(golden: Golden) -> list[Row]:
    moments, blobs, boxes = Row("tIoU, frames of both moments"), Row("blob filter, boxes"), Row("box IoU")
    for case in golden.content["tiou_table"]:
        found = grounding.overlap(tuple(case["gt"]), tuple(case["pred"]), range(case["n_frames"]))
        moments.add(found.tiou, case["tiou"])
        moments.same(list(found.union), list(case["union_frames"]))
        moments.same(sorted(found.shared), sorted(case["inter_frames"]))
    for case in golden.content["mask_cases"]:
        mask = golden.masks(case["key"], case["H"], case["W"])
        cleaned = grounding.remove_small_blobs(mask)
        # scikit-image 0.26 drops components of exactly the smallest size as well.
        later = grounding.remove_small_blobs(mask, grounding.MIN_BLOB + 1)
        ours = [mask.sum(), cleaned.sum(), later.sum()]
        blobs.add(ours, [case["area"], case["area_after"], case["area_after_skimage_0_26"]])
        blobs.same(cleaned.tolist(), golden.masks(f"{case['key']}_clean", case["H"], case["W"]).tolist())
        pair = [grounding.videoglamm_box(mask), grounding.videoglamm_box(cleaned)]
        blobs.add(pair, [case["box_raw"], case["box_after"]])
    for case in golden.content["box_iou_table"]:
        boxes.add(box_iou_official(tuple(case["a"]), tuple(case["b"])), case["iou"])
    return [moments, blobs, boxes]
