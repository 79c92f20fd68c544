"""``python -m benchmarks.parity GOLDEN_DIR``: are our metrics those of the official evaluators?

A golden folder holds prepared cases with the numbers the official programs printed for them; its README
describes the fields. Nothing here is needed to score a model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.metrics import captions, gcg, grounding, refseg
from benchmarks.metrics.clair import read_reply
from grounding_core.errors import GroundingError
from grounding_core.masks import MaskTrack

EXACT = 1e-9
FLOAT32 = 1e-6
"""VideoGLaMM computes boxes in single precision."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass
class Row:
    """One metric over all its cases."""

    metric: str
    tolerance: float = EXACT
    errors: list[float] = field(default_factory=list)

    def add(self, ours: npt.ArrayLike, theirs: npt.ArrayLike) -> None:
        """Compare one case; NaN equals NaN."""
        a, b = np.atleast_1d(np.asarray(ours, float)), np.atleast_1d(np.asarray(theirs, float))
        if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
            self.errors.append(math.inf)
        else:
            same = (a == b) | np.isnan(a)
            self.errors.append(
                float(np.abs(np.where(same, 0.0, a) - np.where(same, 0.0, b)).max(initial=0.0))
            )

    @property
    def worst(self) -> float:
        """Largest difference."""
        return max(self.errors, default=math.inf)

    @property
    def passed(self) -> bool:
        """Whether there were cases and all agree."""
        return self.worst <= self.tolerance


class Golden:
    """One golden JSON file and the bit-packed masks beside it."""

    def __init__(self, folder: Path, name: str, arrays: str | None = None) -> None:
        path = folder / f"{name}.json"
        if not path.is_file():
            raise GroundingError(f"{path} is missing.", "Name a folder of golden metric cases.")
        self.content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self._arrays: Mapping[str, Any] = np.load(folder / f"{arrays}.npz") if arrays else {}

    def masks(self, key: str, *shape: int) -> npt.NDArray[np.bool_]:
        """Masks of a case; without an entry, none."""
        if key not in self._arrays:
            return np.zeros(shape, dtype=bool)
        return np.unpackbits(self._arrays[key])[: math.prod(shape)].reshape(shape).astype(bool)


def check_refseg(folder: Path) -> list[Row]:
    """J, F and their statistics per case, and MeViS's means over all expressions."""
    golden = Golden(folder, "refseg", "refseg")
    names = ("J", "F", "F, other tolerances", "J, F with void", "DAVIS M, R, D", "MeViS J, F, J&F")
    j_row, f_row, bound_row, void_row, davis_row, mevis_row = (Row(name) for name in names)
    means = []
    for case in golden.content["cases"]:
        shape = case["T"], case["H"], case["W"]
        truth, found = golden.masks(f"{case['key']}_gt", *shape), golden.masks(f"{case['key']}_pred", *shape)
        j, f = refseg.scores(truth, found)
        means.append((j.mean(), f.mean()))
        j_row.add(j, case["J_per_frame"])
        f_row.add(f, case["F_per_frame"])
        f_row.add(refseg.scores(found, truth)[1], case["F_swapped_per_frame"])
        for bound, key in ((2, "F_per_frame_bound_th_2"), (0.02, "F_per_frame_bound_th_0p02")):
            bound_row.add(refseg.scores(truth, found, bound_th=bound)[1], case[key])
        if "J_per_frame_void" in case:
            pair = refseg.scores(truth, found, golden.masks(f"{case['key']}_void", *shape))
            void_row.add(np.stack(pair), [case["J_per_frame_void"], case["F_per_frame_void"]])
    for case in golden.content["db_statistics"]:
        if case["n"] < 256:  # beyond, the official quarters wrap around
            davis_row.add(
                refseg.statistics(_floats(case["values"])), _floats(case[k] for k in ("M", "R", "D"))
            )
    mean_j, mean_f = np.mean(means, axis=0)
    full = golden.content["mevis_eval"]["full"]
    mevis_row.add([mean_j, mean_f, (mean_j + mean_f) / 2], [full["J"], full["F"], full["J&F"]])
    return [j_row, f_row, bound_row, void_row, davis_row, mevis_row]


def check_grounding(folder: Path) -> list[Row]:
    """Tubes as TubeDETR, HC-STVG and VideoGLaMM score them; moments, blobs and boxes."""
    golden = Golden(folder, "grounding", "grounding_masks")
    tubedetr, sampled, hcstvg = Row("tubes, TubeDETR"), Row("tubes, VidSTG sampling"), Row("tubes, HC-STVG")
    theirs = Row("tubes, VideoGLaMM", FLOAT32)
    by_type = Row("means by question type")
    kept: dict[str, list[float]] = {}
    for case in golden.content["shared_cases"]:
        given = case["tubedetr_inputs"]
        truth = _tube(case["gt_tube_xywh"], _xyxy)
        boxes = _tube(case["pred_boxes_from_masks_xyxy"])
        moment = given["tube_start_frame"], given["tube_end_frame"]
        frames = range(given["start_frame"], given["end_frame"])
        found = grounding.tube_scores(truth, moment, boxes, tuple(given["pred_sted"]), frames)
        tubedetr.add(_three(found), _expected(case["tubedetr"]))
        for key, value in zip(("tiou", "viou", "gt_viou"), _three(found), strict=True):
            kept.setdefault(f"{case['qtype']}_{key}", []).append(value)
        masks = golden.masks(f"{case['key']}_pred_masks", case["T"], case["n_obj"], case["H"], case["W"])
        cleaned = {i: grounding.remove_small_blobs(masks[i, -1]) for i in range(case["T"])}
        found = grounding.videoglamm_scores(
            truth,
            (case["gt_first_frame"], case["gt_last_frame"]),
            {i: grounding.videoglamm_box(mask) for i, mask in cleaned.items()},
            (case["pred_first_frame"], case["pred_last_frame"]),
            range(case["T"]),
        )
        theirs.add(_three(found), _expected(case["videoglamm"]))
    for key, values in kept.items():
        by_type.add(np.mean(values), golden.content["shared_aggregate"]["tubedetr"][key])
    for case in golden.content["tubedetr_cases"]:
        for run in ("fps5_max200", "fps5_max10", "fps2_max200"):
            sampled.add(
                *_tube_case(case, case["gt_tube_xywh"], case["pred_tube_xyxy"], case[f"expected_{run}"])
            )
    for case in golden.content["hcstvg_cases"]:
        expected = case["expected"] | {"frame_ids_used": case["frame_ids_used"]}
        hcstvg.add(*_tube_case(case, case["trajectory_xywh"], case["pred_xyxy"], expected))
    return [tubedetr, sampled, hcstvg, theirs, by_type, *_check_parts(golden)]


def _check_parts(golden: Golden) -> Iterator[Row]:
    moments, blobs, boxes = Row("tIoU"), Row("blob filter, boxes"), Row("box IoU")
    for case in golden.content["tiou_table"]:
        moments.add(grounding.temporal_iou(tuple(case["gt"]), tuple(case["pred"])), case["tiou"])
    for case in golden.content["mask_cases"]:
        mask = golden.masks(case["key"], case["H"], case["W"])
        cleaned = grounding.remove_small_blobs(mask)
        ours = [cleaned.sum(), *grounding.videoglamm_box(mask), *grounding.videoglamm_box(cleaned)]
        blobs.add(ours, [case["area_after"], *case["box_raw"], *case["box_after"]])
    for case in golden.content["box_iou_table"]:
        expected = float(case["iou"])
        # 0/0 is NaN there and, knowingly, 0 here.
        boxes.add(
            grounding.box_iou(tuple(case["a"]), tuple(case["b"])), 0.0 if math.isnan(expected) else expected
        )
    yield from (moments, blobs, boxes)


def check_gcg(folder: Path) -> list[Row]:
    """Tube IoU, mIoU, matching, and pooled recall of the whole script."""
    golden = Golden(folder, "gcg", "gcg")
    iou_row, miou_row, pairs_row, all_row = (
        Row(name) for name in ("tube IoU", "mIoU", "matches", "gcg script")
    )
    miou: dict[str, float] = {}
    recalled: dict[str, tuple[int, int]] = {}
    for case in golden.content["samples"]:
        shape = case["T"], case["H"], case["W"]
        predicted = _tracks(golden.masks(f"{case['key']}_pred", case["n_pred_masks"], *shape))
        truth = _tracks(golden.masks(f"{case['key']}_gt", case["n_gt_masks"], *shape))
        table = gcg.iou_matrix(predicted, truth)
        iou_row.add(table.ravel(), _floats(v for row in case["iou_matrix_pred_by_gt"] for v in row))
        miou[case["key"]] = gcg.miou_official(table)
        miou_row.add(miou[case["key"]], case["miou"])
        for name, match in case.get("matches", {}).items():
            iou, text = name.removeprefix("iou").split("_text")
            words = case["text_sim_gt_by_pred"]
            pairs = gcg.matches_official(table.T, words, min_iou=float(iou), min_text=float(text))
            pairs_row.add(float(pairs != [tuple(pair) for pair in match["pairs_gt_pred"]]), 0.0)
            if name == "iou0.5_text0.5":
                recalled[case["key"]] = len(pairs), len(case["gt_phrases"])
    clean = golden.content["scenarios"]["clean_both"]
    found = [recalled[key] for key in clean["sample_keys"]]
    all_row.add(np.mean([miou[key] for key in clean["sample_keys"]]), clean["mean_miou"])
    all_row.add(sum(hits for hits, _ in found) / sum(total for _, total in found), clean["recall"])
    return [iou_row, miou_row, pairs_row, all_row]


def check_captions(folder: Path) -> list[Row]:
    """Tokens, METEOR and CIDEr, of sentences and of corpora."""
    content = Golden(folder, "caption").content
    cases, raw = content["cases"], content["meteor_pairs"]
    tokens, meteor, cider, corpus = (
        Row(name) for name in ("PTB tokens", "METEOR", "CIDEr", "METEOR, CIDEr corpus")
    )
    scorer = captions.CaptionScorer()
    given = {
        "single": [(case["candidate"], tuple(case["references"][:1])) for case in cases],
        "multi": [(case["candidate"], tuple(case["references"])) for case in cases],
    }
    pairs = {kind: scorer.prepare(texts) for kind, texts in given.items()}
    words = [(pair["candidate"], (pair["reference"],)) for pair in raw]
    # All at once: METEOR takes seconds to read its tables.
    counts = captions.meteor_counts(scorer.meteor_statistics([*pairs["single"], *pairs["multi"], *words]))
    single, multi, lone = np.split(counts, [len(cases), 2 * len(cases)])
    for kind, part in (("single", single), ("multi", multi)):
        ours = scorer.cider(pairs[kind])
        for index, case in enumerate(cases):
            meteor.add(captions.meteor_score(part[index]), case[kind]["METEOR"])
            cider.add(ours[index], case[kind]["CIDEr"])
        expected = content["corpus"][kind]
        corpus.add(
            [captions.meteor_score(part.sum(axis=0)), ours.mean()], [expected["METEOR"], expected["CIDEr"]]
        )
    for index, pair in enumerate(raw):
        meteor.add(captions.meteor_score(lone[index]), pair["score"])
    corpus.add(captions.meteor_score(lone.sum(axis=0)), content["meteor_pairs_corpus"])
    table = content["tokenizer_table"]
    for found, row in zip(captions.tokenize([row["text"] for row in table]), table, strict=True):
        tokens.add(float(found != row["tokens"]), 0.0)
    return [tokens, meteor, cider, corpus]


def check_clair(folder: Path) -> list[Row]:
    """Reading of a rater's replies."""
    row = Row("CLAIR replies")
    for case in Golden(folder, "clair").content["cases"]:
        expected = case["expected"]
        try:
            found = read_reply(case["reply"])
        except (TypeError, ValueError) as error:
            row.add(float(type(error).__name__ not in str(expected["exception"])), 0.0)
            continue
        row.add(found.score if found else 0.0, float(expected["score"]))
        row.add(float((found.reason if found else None) != expected["reason"]), 0.0)
    return [row]


CHECKS: tuple[Callable[[Path], list[Row]], ...] = (
    check_refseg,
    check_grounding,
    check_gcg,
    check_captions,
    check_clair,
)


@app.command()
def parity(folder: Annotated[Path, typer.Argument(help="A folder of golden metric cases.")]) -> None:
    """Recompute every golden case: metric, cases, largest error, pass or fail."""
    try:
        rows = [row for check in CHECKS for row in check(folder)]
    except GroundingError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(2) from None
    table = Table("metric", box=None, padding=(0, 2, 0, 0))
    for name in ("cases", "largest error", "tolerance", ""):
        table.add_column(name, justify="right")
    for row in rows:
        verdict = "[green]pass[/]" if row.passed else "[red]FAIL[/]"
        table.add_row(row.metric, str(len(row.errors)), f"{row.worst:.1e}", f"{row.tolerance:.0e}", verdict)
    Console().print(table)
    if not all(row.passed for row in rows):
        raise typer.Exit(1)


def _floats(values: Any) -> list[float]:
    return [float(value) for value in values]


def _xyxy(box: Sequence[float]) -> grounding.Box:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def _tube(
    boxes: Mapping[str, Sequence[float]], convert: Callable[[Any], Any] = tuple
) -> dict[int, grounding.Box]:
    return {int(frame): convert(box) for frame, box in boxes.items()}


def _tracks(masks: npt.NDArray[np.bool_]) -> list[MaskTrack]:
    return [MaskTrack.from_masks(index, track) for index, track in enumerate(masks)]


def _three(scores: grounding.TubeScores) -> tuple[float, float, float]:
    return scores.tiou, scores.viou, scores.gt_viou


def _expected(case: Mapping[str, Any]) -> tuple[float, ...]:
    return float(case["tiou"]), float(case["viou"]), float(case["gt_viou"])


def _tube_case(
    case: Mapping[str, Any], truth: Mapping[str, Any], found: Mapping[str, Any], expected: Mapping[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    moment = case["tube_start_frame"], case["tube_end_frame"]
    predicted = tuple(case["pred_sted"])
    scores = grounding.tube_scores(
        _tube(truth, _xyxy), moment, _tube(found), (predicted[0], predicted[1]), expected["frame_ids_used"]
    )
    return _three(scores), _expected(expected)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.parity")
