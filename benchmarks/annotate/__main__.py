"""``python -m benchmarks.annotate NAME``: annotate from less than is known, and compare with the truth.

Boxes and class names of a captioned set are all that the pipeline sees; the masks and captions it makes of
them are then held against those it never saw.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.annotate.pipeline import AnnotateConfig, annotate
from benchmarks.annotate.sources import find
from benchmarks.annotate.steps import Where
from benchmarks.audit.auditing import named
from benchmarks.datasets.video_gcg import FRAME_FOLDERS, VideoGCG
from benchmarks.disk import replace_text
from benchmarks.metrics.gcg import iou_matrix
from benchmarks.tasks.gcg import GroundedCaptions
from grounding_core.config import Part
from grounding_core.datasets import known_split
from grounding_core.errors import DataError
from grounding_core.interfaces.dataset import Truth
from grounding_core.plugins import registry
from grounding_core.types import GroundedText

LINKED = 0.5
"""IoU from which a made object is the true one."""

app = typer.Typer(add_completion=False)


def strip(root: Path, split: str, out: Path) -> Path:
    """Write a file with the boxes and classes of a captioned split alone.

    Args:
        root: data root with ``video_gcg/instruction_data/<split>.json``, whose objects have boxes.
        split: which.
        out: the file.

    Raises:
        DataError: its objects have no boxes or no classes.
    """
    content = json.loads((root / f"video_gcg/instruction_data/{split}.json").read_text(encoding="utf-8"))
    if not content.get("categories") or not all("bboxes" in one for one in content["annotations"]):
        raise DataError(f"The objects of {root} have no boxes or classes.", "Use a set that has: sprites.")
    kept = ("id", "file_names", "width", "height", "length")
    objects = ("id", "video_id", "category_id", "bboxes")
    stripped = {
        "videos": [{key: video[key] for key in kept} for video in content["videos"]],
        "annotations": [{key: one[key] for key in objects} for one in content["annotations"]],
        "categories": content["categories"],
    }
    replace_text(out, json.dumps(stripped))
    return out


def compare(made: Mapping[str, Truth], truth: Mapping[str, Truth], workspace: Path) -> dict[str, float]:
    """How near made truths are to true ones, both by video.

    Returns:
        mask_iou: mean tube IoU of the true objects with the made object nearest to each;
        objects_found: share of the true objects whose IoU with it is at least 0.5;
        links: share of the made links (phrase, object) whose object has a true phrase with a word in common;
        link_recall: share of the true phrases to which a made phrase with similar words and mask belongs;
        cider, meteor: of the captions (METEOR where Java is there).
    """
    task = GroundedCaptions(workspace)
    ious: list[float] = []
    links: list[bool] = []
    pairs, recalled, expected = [], 0.0, 0.0
    for id, true in truth.items():
        own = made.get(id)
        if true.caption is None:
            continue
        if own is None or own.caption is None:
            ious += [0.0] * len(true.tracks)
            pairs.append(("", true.caption.text))
            continue
        table = iou_matrix(own.tracks, true.tracks)
        ious += np.nan_to_num(table).max(axis=0, initial=0.0).tolist()
        links += _links(own.caption, true.caption, np.nan_to_num(table))
        judged = task.judge(own.caption, true)
        found, of = judged.counts["recall"]
        recalled, expected = recalled + found, expected + of
        pairs.append((own.caption.text, true.caption.text))
    texts = task.judge_texts({"made": pairs})["made"]
    means = {
        "mask_iou": float(np.mean(ious)),
        "objects_found": float(np.mean(np.array(ious) >= LINKED)),
        "links": float(np.mean(links)) if links else 0.0,
        "link_recall": recalled / max(expected, 1.0),
    }
    means |= {measure.key: _whole(measure, texts) for measure in task.measures if measure.key in texts}
    return {key: round(value, 4) for key, value in means.items()}


def _whole(measure: Any, texts: Mapping[str, Any]) -> float:
    counts = np.asarray(texts[measure.key]).sum(axis=0)
    finish = measure.finish
    return float(counts[0] / counts[1]) if finish is None else float(finish(counts))


def _links(made: GroundedText, true: GroundedText, table: Any) -> list[bool]:
    """For each made link, whether it holds."""
    rows = {track.id: row for row, track in enumerate(made.tracks)}
    names: dict[int, set[str]] = {}
    for span in true.spans:
        for id in span.tracks:
            names.setdefault(id, set()).update(_words(true.phrase(span)))
    held = []
    for span in made.spans:
        for id in span.tracks:
            near = [t.id for c, t in enumerate(true.tracks) if table[rows[id], c] >= LINKED]
            held.append(any(_words(made.phrase(span)) & names.get(other, set()) for other in near))
    return held


def _words(phrase: str) -> set[str]:
    return {word.strip(".,;:!?") for word in phrase.lower().split()} - {"a", "an", "the", "that", "to"}


@app.command()
def main(
    name: Annotated[
        str, typer.Argument(help="A captioned set whose objects have boxes and classes: sprites.")
    ],
    data_root: Annotated[Path, typer.Option(help="Folder above the data set.")],
    out: Annotated[Path, typer.Option(help="Folder for the made set and `comparison.json`.")],
    split: Annotated[str | None, typer.Option(help="Split; the data set's default if left out.")] = None,
    recipe: Annotated[list[Path] | None, typer.Option(help="Recipes of `annotate` to compare.")] = None,
    videos: Annotated[int | None, typer.Option(min=1, help="Only the first so many videos.")] = None,
) -> None:
    """Annotate a set from its boxes and class names alone, and say how near its own truth that comes."""
    chosen = known_split(name, registry().load("dataset", name), split)
    truth = {
        sample.video_id: sample.load_truth()
        for questions in named(name, chosen, data_root)
        if questions.task == "gcg"
        for sample in questions.samples
    }
    known = strip(data_root, chosen, out / "known.json")
    frames = data_root / "video_gcg" / FRAME_FOLDERS[1]
    configs = {path.stem: AnnotateConfig.load(path) for path in recipe or ()} or STANDARD
    rows = {}
    for label, config in configs.items():
        part, source = find(str(known), config.objects, Where(frames=frames, most=config.frames))
        source = source if videos is None else source.first(videos)
        manifest = annotate(source, config.model_copy(update={"objects": part}), out / label, split="train")
        # The reader names videos by the folder they were written to; the source by the one they came from.
        made = {
            str(entry["provenance"]["item"]): Path(entry["file_names"][0]).parent.as_posix()
            for entry in json.loads((out / label / "video_gcg/instruction_data/train.json").read_text())[
                "videos"
            ]
        }
        samples = VideoGCG(out / label).samples("gcg", "train")
        found = {s.video_id: s.load_truth() for s in samples if s.query.kind == "describe"}
        wanted = {id: truth[id] for id in source.ids}
        rows[label] = compare({id: found[folder] for id, folder in made.items()}, wanted, out / label) | {
            "videos": len(wanted),
            "set_aside": manifest["counts"]["set_aside"],
        }
    replace_text(out / "comparison.json", json.dumps(rows, indent=1) + "\n")
    table = Table("measure", *rows, title=f"{name}:{chosen} from boxes and class names", box=None)
    for key in next(iter(rows.values())):
        table.add_row(key, *(f"{row[key]:.4g}" for row in rows.values()))
    Console(highlight=False).print(table)


_SILENT = Part(type="none")
STANDARD = {
    "boxes": AnnotateConfig(questions=_SILENT),
    "grabcut": AnnotateConfig(masks=Part(type="grabcut"), questions=_SILENT),
    "grabcut-measured": AnnotateConfig(
        masks=Part(type="grabcut"), describer=Part(type="measured"), questions=_SILENT
    ),
}
"""Recipes that need no model: filled boxes, GrabCut, and GrabCut with objects described by measuring."""

if __name__ == "__main__":
    from grounding_core.cli import run

    run(app)
