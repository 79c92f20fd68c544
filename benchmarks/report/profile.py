"""Time and memory by stage, kept beside the predictions and drawn as one bar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.disk import replace_text
from grounding_core.profiling import current

PROFILE = "profile.json"

STAGES = {
    "decode": "Waiting for frames to be read and resized; what a thread does meanwhile is not counted.",
    "encode": "Image and video encoders and their adapters.",
    "prefill": "The language model reads the visual tokens.",
    "decode tokens": "It reads the questions and writes the answers.",
    "image features": "The mask decoder's features of each frame.",
    "masks": "Masks from prompts, and their run-length codes.",
    "rest of the model": "What a model does outside these stages.",
    "harness": "Looking at truths, and writing answers to the disk.",
    "baselines": "Answers of the baselines.",
    "scoring": "Judging all answers, on all cores.",
}
"""Stage -> what it is; their order in the bar."""

Stages = Mapping[str, Mapping[str, float]]


MODEL = "model"
"""Key of whose profile it is, beside the stages."""


def keep_profile(folder: Path, model: str) -> None:
    """Write the profile that listens now, if one does and the model has answered anything.

    Args:
        folder: of the run.
        model: key of the fingerprint of who answered.
    """
    profile = current()
    if profile is not None and "rest of the model" in profile.stages:
        replace_text(folder / PROFILE, json.dumps({MODEL: model, **profile.as_json()}, indent=1) + "\n")


def read_profile(folder: Path, model: str) -> Stages | None:
    """The profile of a model's run in a folder; None if it was not profiled."""
    path = folder / PROFILE
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if content.get(MODEL, model) != model:  # profiles of older versions don't say
        return None
    return {name: content[name] for name in STAGES if name in content}


def profile_rows(stages: Stages) -> list[tuple[str, str, str, str, str]]:
    """Stage, seconds, share, calls and memory, as tables show them."""
    whole = sum(stage["seconds"] for stage in stages.values()) or 1.0
    return [
        (
            name,
            f"{stage['seconds']:.2f}",
            f"{100 * stage['seconds'] / whole:.1f}",
            f"{stage['calls']:.0f}",
            f"{stage['memory_mb']:.0f}",
        )
        for name, stage in stages.items()
    ]


HEADS = ("stage", "seconds", "%", "calls", "peak MB")


def profile_section(report: Mapping[str, Any]) -> str:
    """The bar and its table as HTML; empty without a profile."""
    stages: Stages | None = report.get("profile")
    if not stages:
        return ""
    whole = sum(stage["seconds"] for stage in stages.values()) or 1.0
    parts = []
    for place, (name, stage) in enumerate(stages.items()):
        share = 100 * stage["seconds"] / whole
        title = f"{escape(name)}: {stage['seconds']:.2f} s, {share:.1f} %"
        parts.append(f'<i class="stage{place % 10}" style="width:{share:.2f}%" title="{title}"></i>')
    rows = "".join(
        f'<tr><th><i class="dot stage{place % 10}"></i>{escape(cells[0])}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells[1:])
        + "</tr>"
        for place, cells in enumerate(profile_rows(stages))
    )
    head = "".join(f"<th>{escape(word)}</th>" for word in HEADS)
    told = "".join(f"<dt>{escape(name)}</dt><dd>{escape(STAGES[name])}</dd>" for name in stages)
    return (
        '<section id="profile"><h2>Where the time went</h2>'
        f'<p class="soft">{whole:.1f} s of this run, by stage</p><div class="stages">{"".join(parts)}</div>'
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"<details><summary>What the stages are</summary><dl>{told}</dl></details></section>"
    )


def profile_markdown(report: Mapping[str, Any]) -> list[str]:
    """The table as lines of Markdown; none without a profile."""
    stages: Stages | None = report.get("profile")
    if not stages:
        return []
    lines = [
        "## Where the time went",
        "",
        f"| {' | '.join(HEADS)} |",
        "| --- |" + " ---: |" * (len(HEADS) - 1),
    ]
    return [*lines, *(f"| {' | '.join(cells)} |" for cells in profile_rows(stages)), ""]
