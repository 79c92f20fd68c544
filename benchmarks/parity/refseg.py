"""J, F and what MeViS, ReVOS and DAVIS make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.metrics import davis, refseg, revos
from benchmarks.parity.golden import Golden, Row, numbers


def check_refseg(folder: Path) -> list[Row]:
    """J and F per frame and per expression, DAVIS statistics, and the three sets' aggregates."""
    golden = Golden(folder, "refseg", "refseg")
    return [
        *_frames(golden),
        *_statistics(golden),
        *_mevis(golden),
        *_revos(golden),
        *_davis(golden),
    ]


def _shape(case: Mapping[str, Any]) -> tuple[int, int, int]:
    return case["T"], case["H"], case["W"]


def _pair(golden: Golden, case: Mapping[str, Any]) -> tuple[refseg.BoolArray, refseg.BoolArray]:
    return (
        golden.masks(f"{case['key']}_gt", *_shape(case)),
        golden.masks(f"{case['key']}_pred", *_shape(case)),
    )


def _frames(golden: Golden) -> list[Row]:
    names = ("J", "F", "J, F, J&F means", "F, other tolerances", "tolerance in pixels", "J, F with void")
    j_row, f_row, mean_row, bound_row, radius_row, void_row = (Row(name) for name in names)
    for case in golden.content["cases"]:
        truth, found = _pair(golden, case)
        j, f = refseg.scores(truth, found)
        j_row.add(j, case["J_per_frame"])
        f_row.add(f, case["F_per_frame"])
        f_row.add(refseg.scores(found, truth)[1], case["F_swapped_per_frame"])
        means = [j.mean(), f.mean(), (j.mean() + f.mean()) / 2]
        mean_row.add(means, [case["J_mean"], case["F_mean"], case["JF"]])
        for bound, key in ((2, "F_per_frame_bound_th_2"), (0.02, "F_per_frame_bound_th_0p02")):
            bound_row.add(refseg.scores(truth, found, bound_th=bound)[1], case[key])
        radius_row.add(
            refseg.tolerance(truth.shape[1:], golden.content["bound_th_default"]), case["bound_pix"]
        )
        if "J_per_frame_void" in case:
            pair = refseg.scores(truth, found, golden.masks(f"{case['key']}_void", *_shape(case)))
            void_row.add(np.stack(pair), [case["J_per_frame_void"], case["F_per_frame_void"]])
    return [j_row, f_row, mean_row, bound_row, radius_row, void_row]


def _statistics(golden: Golden) -> list[Row]:
    names = (
        "DAVIS M, R, D of cases",
        "DAVIS M, R, D official",
        "DAVIS D under NumPy 2",
        "DAVIS M, R, D corrected",
    )
    cases, official, numpy_2, corrected = (Row(name) for name in names)
    for case in golden.content["cases"]:
        for values, key in zip(refseg.scores(*_pair(golden, case)), ("davis_J", "davis_F"), strict=True):
            cases.add(refseg.statistics_official(values), [case[key][part] for part in "MRD"])
    for case in golden.content["db_statistics"]:
        values, expected = numbers(case["values"]), [case[part] for part in "MRD"]
        official.add(refseg.statistics_official(values), expected)
        numpy_2.add(refseg.statistics_official(values, numpy_2=True)[2], case["D_numpy2"])
        # Up to 256 frames the official decay is right; beyond, only M and R can be compared.
        parts = 3 if len(values) <= 256 else 2
        corrected.add(refseg.statistics(values)[:parts], expected[:parts])
    return [cases, official, numpy_2, corrected]


def _mevis(golden: Golden) -> list[Row]:
    expressions, totals, missing = (
        Row("MeViS expressions"),
        Row("MeViS J, F, J&F"),
        Row("MeViS with missing predictions"),
    )
    content = golden.content["mevis_eval"]
    scores: dict[str, tuple[float, float]] = {}
    for case in golden.content["cases"]:
        j, f = refseg.scores(*_pair(golden, case))
        scores[f"{case['video_id']}_{case['exp_id']}"] = float(j.mean()), float(f.mean())
        expressions.add([j.mean(), f.mean()], case["mevis"])
    full, partial = content["full"], content["with_missing"]
    totals.each(_mevis_means(scores), {key: full[key] for key in ("J", "F", "J&F")})
    totals.same(len(scores), full["n_expressions"])
    # An absent video scores 0; an absent expression kills its reader and is left out.
    absent = {f"{video}_{expression}" for video, expression in _missing_expressions(partial)}
    videos = _listed(partial["missing_video"])
    zeros = {f"{c['video_id']}_{c['exp_id']}" for c in golden.content["cases"] if c["video_id"] in videos}
    kept = {key: (0.0, 0.0) if key in zeros else pair for key, pair in scores.items() if key not in absent}
    missing.each(_mevis_means(kept), {key: partial[key] for key in ("J", "F", "J&F")})
    missing.same(len(kept), partial["n_expressions_scored"])
    missing.same(sorted(absent), sorted(partial["scored_keys_absent"]))
    missing.each({key: kept[key] for key in zeros & kept.keys()}, partial["missing_video_scores"])
    return [expressions, totals, missing]


def _listed(given: str | Sequence[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


def _missing_expressions(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    given = content["missing_expression"] or ()
    pairs = [given] if given and isinstance(given[0], str) else given
    return [(video, expression) for video, expression in pairs]


def _mevis_means(scores: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    j, f = np.mean(list(scores.values()), axis=0)
    return {"J": float(j), "F": float(f), "J&F": float((j + f) / 2)}


def _revos(golden: Golden) -> list[Row]:
    rows = []
    missing = golden.content["mevis_eval"]["with_missing"]
    videos = set(_listed(missing["missing_video"]))
    expressions = set(_missing_expressions(missing))
    for title, run in golden.content["revos_eval"].items():
        row = Row(f"ReVOS, {title.replace('_', ' ')}")
        value = int(title.rpartition("_")[2])
        found: dict[str, revos.ExpressionScores] = {}
        for case in golden.content["cases"]:
            key = case["video_id"], case["exp_id"]
            lost = "missing" in title and (key[0] in videos or key in expressions)
            found["_".join(key)] = _revos_scores(golden, case, value, lost)
        expected = run["per_expression"]
        row.same(sorted(found), sorted(expected))
        for name, scores in found.items():
            if name in expected:
                theirs = expected[name]
                row.add(
                    [scores.j, scores.f, scores.jf, scores.a, scores.r, scores.type_id],
                    [theirs[part] for part in ("J", "F", "JF", "A", "R", "type_id")],
                )
        for group, values in revos.aggregate(list(found.values())).items():
            row.each(values, run["aggregate"][group])
        rows.append(row)
    return rows


def _revos_scores(golden: Golden, case: Mapping[str, Any], value: int, lost: bool) -> revos.ExpressionScores:
    """As the script sees an expression: raw 8-bit images, the truth a sum of instances."""
    if lost:
        return revos.ExpressionScores.rounded(0.0, 0.0, 0.0, 0.0, case["revos_type_id"])
    shape = _shape(case)
    truth, found = _pair(golden, case)
    raw_truth = truth.astype(np.uint8)
    if case.get("n_gt_inst"):
        instances = golden.masks(f"{case['key']}_gt_inst", case["n_gt_inst"], *shape)
        raw_truth = instances.sum(axis=0).astype(np.uint8)
    raw_found = found.astype(np.uint8) * np.uint8(value)
    foreground = golden.masks(f"{case['video_id']}_foreground", *shape).astype(np.uint8)
    j, f = refseg.scores(truth, found)
    a = [revos.accuracy_official(t, p) for t, p in zip(raw_truth, raw_found, strict=True)]
    r = [revos.robustness_official(t, p, o) for t, p, o in zip(raw_truth, raw_found, foreground, strict=True)]
    return revos.ExpressionScores.rounded(
        float(j.mean()), float(f.mean()), float(np.mean(a)), float(np.mean(r)), case["revos_type_id"]
    )


def _davis(golden: Golden) -> list[Row]:
    rows = []
    for protocol, run in golden.content["davis_eval"].items():
        row = Row(f"DAVIS {protocol}")
        take = davis.unsupervised if protocol == "unsupervised" else davis.semi_supervised
        found = {
            name: take(golden.labels(f"davis_{name}_gt_labels"), golden.labels(f"davis_{name}_pred_labels"))
            for name in run["sequences"]
        }
        for name, expected in run["per_sequence_frames"].items():
            row.add(found[name].j, expected["J"])
            row.add(found[name].f, expected["F"])
        summary = davis.summarize(list(found.values()), official=True)
        objects = [f"{name}_{i + 1}" for name, scores in found.items() for i in range(len(scores.j))]
        for part, table in (("J", summary.j), ("F", summary.f)):
            row.add(table.T, [run[part]["M"], run[part]["R"], run[part]["D"]])
            row.each(dict(zip(objects, table[:, 0].tolist(), strict=True)), run[part]["M_per_object"])
        row.each(_davis_globals(summary), run["global_results"])
        rows.append(row)
    return rows


def _davis_globals(summary: davis.Summary) -> dict[str, npt.ArrayLike]:
    names = ("Mean", "Recall", "Decay")
    found: dict[str, npt.ArrayLike] = {"J&F-Mean": summary.jf}
    for part, table in (("J", summary.j), ("F", summary.f)):
        found |= {f"{part}-{name}": mean for name, mean in zip(names, table.mean(axis=0), strict=True)}
    return found
