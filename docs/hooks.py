"""Fills pages with what the code itself says, so that text and code can't drift apart.

``<!-- help: ground -->`` becomes what ``grounding ground --help`` prints;
``<!-- options: package.module:Class -->`` becomes a table of a component's (or model's) options;
``<!-- all-options: kind, kind -->`` becomes such a table for each installed component of these kinds;
``<!-- measures: package.module:Class -->`` becomes a table of what a task measures;
``<!-- checks: package.module:Class -->`` becomes the list of what a conformance class tests;
``<!-- plugins: kind, kind -->`` becomes a table of what the distributions of this repository offer;
``<!-- kinds: -->`` becomes the list of all kinds, and ``<!-- plugins: all -->`` a table of all of them;
``<!-- published: rows -->`` and ``<!-- published: protocols -->`` become what benchmarks/published/ holds;
``<!-- include: FILE -->`` becomes a Markdown file of the repository, without its title;
``<!-- notebook: FILE -->`` becomes a notebook's words and code;
``<!-- inline: FILE -->`` becomes a picture that takes the page's colours;
``<!-- player: FILE -->`` becomes answers that play, as ``docs/pictures.py`` wrote them.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any, get_args

import yaml
from mkdocs.utils import get_relative_url
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from grounding_core.cli import app
from grounding_core.config import Part, Prompts, Sampling, Seg
from grounding_core.hookspecs import Kind
from grounding_core.player.embed import mounted
from grounding_core.plugins import registry
from grounding_core.training.config import Lora, LossWeights, TrainConfig

DOCS = Path(__file__).parent
SHIM = "https://unpkg.com/iframe-worker/shim"
"""What Material's plugin `offline` loads."""
APART = (Part, Sampling, Seg, Prompts, TrainConfig, Lora, LossWeights)
"""What has a heading of its own in docs/config.md."""
MARK = re.compile(r"<!-- ([a-z-]+): (.*?) ?-->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page."""
    fill: dict[str, Callable[[str], str]] = {
        "help": _help,
        "options": _options,
        "all-options": _all_options,
        "measures": _measures,
        "checks": _checks,
        "plugins": _plugins,
        "published": _published,
        "include": _include,
        "notebook": _notebook,
        "kinds": _kinds,
    }
    return MARK.sub(lambda found: fill[found[1]](found[2]) if found[1] in fill else found[0], markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Called by MkDocs for each page, after Markdown, which would read scripts as text."""
    fill = {"player": _player, "inline": lambda name: (DOCS / name).read_text(encoding="utf-8")}
    return MARK.sub(lambda found: fill[found[1]](found[2]) if found[1] in fill else found[0], html)


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Called by MkDocs for each page: what makes search work in files is here, and not fetched."""
    return output.replace(SHIM, get_relative_url("javascripts/iframe-worker.js", page.url))


def on_post_template(output: str, **_: Any) -> str:
    """Called by MkDocs for pages of the theme's own, such as 404.html, whose addresses begin at the root."""
    return output.replace(SHIM, "/javascripts/iframe-worker.js")


def _help(command: str) -> str:
    arguments = [*command.split(), "--help"]
    result = CliRunner().invoke(
        app, arguments, prog_name="grounding", env={"COLUMNS": "100", "NO_COLOR": "1"}
    )
    if result.exit_code:
        raise RuntimeError(f"grounding {' '.join(arguments)}: {result.output}") from result.exception
    return f"```text\n{result.output.strip()}\n```"


def _named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _measures(target: str) -> str:
    rows = ["| measure | what it is |", "| --- | --- |"]
    rows += [f"| {measure.label} | {measure.help} |" for measure in _named(target).measures]
    return "\n".join(rows) + "\n"


def _checks(target: str) -> str:
    found = _named(target)
    tests = [name for parent in reversed(found.__mro__) for name in vars(parent) if name.startswith("test_")]
    return (
        "\n".join(f"- {name.removeprefix('test_').replace('_', ' ')}" for name in dict.fromkeys(tests)) + "\n"
    )


def _plugins(kinds: str) -> str:
    rows = ["| kind | name | what it is | distribution |", "| --- | --- | --- | --- |"]
    for kind in get_args(Kind) if kinds == "all" else kinds.split(", "):
        for entry, distribution, _ in registry().entries(kind):
            rows.append(f"| {kind.replace('_', ' ')} | `{entry.name}` | {entry.summary} | {distribution} |")
    return "\n".join(rows) + "\n"


def _all_options(kinds: str) -> str:
    pieces = []
    for kind in kinds.split(", "):
        pieces.append(f"## {kind.replace('_', ' ').capitalize()}\n")
        for entry, distribution, _ in registry().entries(kind):
            pieces.append(
                f"### `{entry.name}`\n\n{entry.summary} ({distribution})\n\n{_options(entry.target)}"
            )
    return "\n".join(pieces)


def _kinds(_: str) -> str:
    return ", ".join(f"`{kind}`" for kind in get_args(Kind))


def _options(target: str) -> str:
    found = _named(target)
    fields = getattr(found, "Config", found).model_fields
    if not fields:
        return "No options.\n"
    rows = ["| option | type | default | meaning |", "| --- | --- | --- | --- |", *_rows(fields)]
    return "\n".join(rows) + "\n"


def _rows(fields: dict[str, FieldInfo], before: str = "") -> Iterator[str]:
    """A row an option; options within one that has no heading of its own follow it."""
    for option, field in fields.items():
        kind = getattr(field.annotation, "__name__", None) if "[" not in str(field.annotation) else None
        text = (kind or str(field.annotation).replace("typing.", "")).replace("|", "or")
        text = re.sub(r"[\w.]+\.(\w+)", r"\1", text)
        default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        yield f"| `{before}{option}` | {text} | {default} | {field.description or ''} |"
        for inner in get_args(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel) and inner not in APART:
                yield from _rows(inner.model_fields, f"{before}{option}.")


def _published(what: str) -> str:
    folder = DOCS.parent / "benchmarks" / "published"
    if what == "protocols":
        found = yaml.safe_load((folder / "protocols.yaml").read_text(encoding="utf-8"))
        rows = ["| of | fact | |", "| --- | --- | --- |"]
        for group in ("tasks", "datasets"):
            for name, facts in found[group].items():
                rows += [f"| `{name}` | {fact} | {text} |" for fact, text in facts.items()]
        return "\n".join(rows) + "\n"
    labels = {
        (task, measure.key): measure.label
        for task in registry().names("task")
        for measure in registry().load("task", task).measures
    }
    rows = ["| data | system | measure | value | source |", "| --- | --- | --- | ---: | --- |"]
    lines = []
    for system in yaml.safe_load((folder / "reference_rows.yaml").read_text(encoding="utf-8")):
        for row in system["rows"]:
            note = f"; {row['note']}" if row.get("note") else ""
            label = labels[row["task"], row["measure"]]
            cells = (
                f"`{row['data']}`",
                system["system"],
                label,
                f"{row['value']:.1f}",
                system["source"] + note,
            )
            lines.append((row["task"], row["data"], label, -row["value"], f"| {' | '.join(cells)} |"))
    return "\n".join([*rows, *(line[-1] for line in sorted(lines))]) + "\n"


def _include(name: str) -> str:
    text = (DOCS.parent / name).read_text(encoding="utf-8")
    return re.sub(r"\A# .*\n", "", text)


def _notebook(name: str) -> str:
    cells = json.loads((DOCS / name).read_text(encoding="utf-8"))["cells"]
    texts = [("".join(cell["source"]), cell["cell_type"]) for cell in cells]
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for text, kind in texts)


def _player(name: str) -> str:
    scenes = json.loads((DOCS / name).read_text(encoding="utf-8"))
    figures = [
        f"<figure><figcaption>{escape(scene['question'])}</figcaption>"
        f"{mounted(scene['film'], scene['layers'], escape(scene['layers'][0]['text']))}</figure>"
        for scene in scenes
    ]
    return f'<div class="plays">{"".join(figures)}</div>'
