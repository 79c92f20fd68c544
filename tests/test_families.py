"""Every component and whole model that this repository offers runs the conformance kit."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from grounding_core.plugins import registry
from grounding_core.testing import GrounderConformance

TESTS = [Path(__file__), *sorted((Path(__file__).resolve().parent.parent / "plugins").glob("*/tests/*.py"))]
KITS = {
    "image_encoder": "ImageEncoderConformance",
    "video_encoder": "VideoEncoderConformance",
    "vision_adapter": "VisionAdapterConformance",
    "language_model": "LanguageModelConformance",
    "prompt_adapter": "PromptAdapterConformance",
    "mask_decoder": "MaskDecoderConformance",
    "model": "GrounderConformance",
}


class TestChunked(GrounderConformance):
    """The core's own: pieces of three frames, around the shipped model."""

    name = "chunked"
    options = {  # noqa: RUF012
        "recipe": "videoglamm-tiny",
        "overrides": ["generation.max_new_tokens=12"],
        "length": 3,
        "overlap": 1,
    }


def conforming() -> Iterator[tuple[str, str]]:
    """Kit and name of every class that pytest collects in the plugins' tests, and here."""
    for file in TESTS:
        classes = {
            node.name: node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)
        }
        for name in classes:
            if name.startswith("Test"):
                kit, entry = _facts(name, classes)
                if entry is not None:
                    yield kit, entry


def _facts(name: str, classes: dict[str, ast.ClassDef]) -> tuple[str, str | None]:
    """The class that a test inherits from outside of its file, and the entry it is about."""
    found = None
    while name in classes:
        node = classes[name]
        found = found or next((entry for line in node.body if (entry := _named(line)) is not None), None)
        if not node.bases or not isinstance(node.bases[0], ast.Name):
            return "", found
        name = node.bases[0].id
    return name, found


def _named(line: ast.stmt) -> str | None:
    match line:
        case ast.Assign(targets=[ast.Name(id="name")], value=ast.Constant(value=str(entry))):
            return entry
    return None


@pytest.mark.parametrize("kind", KITS)
def test_every_entry_is_tested(kind: str) -> None:
    offered = {entry.name for entry, *_ in registry().entries(kind)}
    tested = {entry for kit, entry in conforming() if kit == KITS[kind]}
    assert offered and offered <= tested
