"""``python -m benchmarks.perf.plot FOLDER``: the figures that the other programs kept, as one picture each.

A bar a figure, on a scale of its goal: what reaches the line has met it. Drawn as SVG, without a library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Annotated, Any

import typer

WIDTH, LEFT, ROW, TOP = 860, 330, 30, 34
GOAL = 0.5
"""Where the goal's line stands, as a share of the bars' room."""

INK = "#1d2026"
COLOURS = {True: "#0d9488", False: "#c2410c", None: "#94a3b8"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def share(figure: Mapping[str, Any]) -> float:
    """Length of a bar, 0 to 1: on a logarithmic scale on which the goal is in the middle."""
    times = figure["ratio"] / (figure["goal"] or 1.0)
    if not figure["atleast"]:
        times = 1 / max(times, 1e-9)
    return min(max(GOAL + math.log2(max(times, 1e-9)) / 8, 0.02), 1.0)


def picture(title: str, figures: Sequence[Mapping[str, Any]], machine: Mapping[str, str]) -> str:
    """An SVG of some figures."""
    height = TOP + ROW * len(figures) + 34
    room = WIDTH - LEFT - 130
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13"><title>{escape(title)}</title>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="21" font-size="15" font-weight="600" fill="#1d2026">{escape(title)}</text>',
    ]
    line = LEFT + room * GOAL
    for place, figure in enumerate(figures):
        y = TOP + ROW * place
        bar = room * share(figure)
        sign = "≥" if figure["atleast"] else "≤"
        goal = "" if figure["goal"] is None else f" (goal {sign} {figure['goal']:g})"
        what = figure["what"]
        name = escape(what if len(what) <= 46 else f"{what[:45]}…")
        colour = COLOURS[figure["met"]]
        sides = escape(f"{figure['slow']} against {figure['fast']}")
        parts += [
            f'<text x="{LEFT - 10}" y="{y + 19}" text-anchor="end" fill="{INK}">{name}</text>',
            f'<rect x="{LEFT}" y="{y + 6}" width="{bar:.1f}" height="18" rx="4" fill="{colour}">'
            f"<title>{sides}</title></rect>",
            f'<text x="{LEFT + bar + 8:.1f}" y="{y + 20}" fill="{INK}">'
            f"{figure['ratio']:.3g}{escape(goal)}</text>",
        ]
    bottom = TOP + ROW * len(figures) + 4
    facts = escape(", ".join(f"{key} {value}" for key, value in machine.items()))
    parts += [
        f'<line x1="{line:.1f}" x2="{line:.1f}" y1="{TOP}" y2="{bottom}" stroke="{INK}" '
        'stroke-dasharray="3 3"/>',
        f'<text x="12" y="{height - 10}" font-size="11" fill="#6a6f7a">dashed: the goal; an eighth doubles · '
        f"{facts}</text></svg>",
    ]
    return "\n".join(parts) + "\n"


@app.command()
def draw(
    folder: Annotated[Path, typer.Argument(help="With the JSON files of --out.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures; default: the same.")] = None,
) -> None:
    """Draw each file as a picture of its name."""
    target = out or folder
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if "figures" not in content:
            continue
        drawn = picture(path.stem.replace("-", ", "), content["figures"], content["machine"])
        (target / f"{path.stem}.svg").write_text(drawn, encoding="utf-8")
        typer.echo(str(target / f"{path.stem}.svg"))


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.perf.plot")
