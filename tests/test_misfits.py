"""Parts that do not fit together: each kind is named before a weight is read, all of them at once."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grounding_core import compose
from grounding_core.cli import app
from grounding_core.compose import plan
from grounding_core.config import Recipe
from grounding_core.errors import PluginError, RecipeError
from grounding_core.hookspecs import GROUP
from grounding_core.plugins import Registry

ENTRIES = """
from grounding_core.hookspecs import Entry, hookimpl

INTERFACE = 1

@hookimpl
def grounding_entries():
    return [
        Entry("image_encoder", "gridless", "misfit_parts:Gridless"),
        Entry("video_encoder", "striding", "misfit_parts:Striding"),
        Entry("prompt_adapter", "narrow", "misfit_parts:Narrow"),
        Entry("mask_decoder", "promptless", "misfit_parts:Promptless"),
        Entry("task", "follow", "misfit_parts:Follow"),
    ]
"""
PARTS = """
from grounding_core.errors import GroundingError
from grounding_core.interfaces.adapters import PromptAdapter
from grounding_core.interfaces.component import Configured
from grounding_core.interfaces.specs import DecoderSpec, EncoderSpec

class Part(Configured):
    def __init__(self, *args, **more):
        raise AssertionError("planning builds nothing")

class Gridless(Part):
    @classmethod
    def spec(cls, config):
        return EncoderSpec(width=8, tokens=7)

class Striding(Part):
    @classmethod
    def spec(cls, config):
        return EncoderSpec(width=8, tokens=64, grid=(8, 8), chunk=4, stride=6)

class Narrow(PromptAdapter):
    @classmethod
    def check(cls, config, *, width, target):
        if target.prompt_width != 7:
            raise GroundingError(f"makes prompts of width 7; the decoder takes {target.prompt_width}.")

class Promptless(Part):
    @classmethod
    def spec(cls, config):
        return DecoderSpec(prompt_width=8, prompt_tokens=0)

class Follow:
    needs_tracking = True
"""


@pytest.fixture(autouse=True)
def _misfits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts above, installed beside those that are here."""
    (tmp_path / "misfit_entries.py").write_text(ENTRIES)
    (tmp_path / "misfit_parts.py").write_text(PARTS)
    info = tmp_path / "misfits-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: misfits\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nmisfits = misfit_entries\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = Registry(importlib.metadata.entry_points(group=GROUP))
    assert not found.failures
    monkeypatch.setattr(compose, "registry", lambda: found)


def problems(*overrides: str, tasks: tuple[str, ...] = ()) -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        plan(Recipe.load("videoglamm-tiny", overrides), tasks=tasks)
    assert str(caught.value).startswith("Recipe videoglamm-tiny has ")
    return dict(caught.value.problems)


KINDS = {
    "no patch grid": (
        ["image_encoder.type=gridless"],
        {"image_adapter": "mlp_pool needs a patch grid, which image_encoder does not have"},
    ),
    "frames and chunk": (
        ["sampling.frames=6"],
        {"sampling.frames": "6 is not a multiple of the 8 frames video_encoder takes"},
    ),
    "frames, chunk and stride": (
        ["video_encoder.type=striding"],
        {"sampling.frames": "8 is not a multiple of the 12 frames video_encoder takes"},
    ),
    "fusion": (
        ["sampling.fusion=add", "image_adapter.grid=[8,8]", "video_adapter.grid=[4,4]"],
        {
            "sampling.fusion": "add needs tokens of the same grid of places from both branches; there are "
            "image_adapter (8, 8), video_adapter (4, 4)"
        },
    ),
    "context": (
        ["language_model.context=300"],
        {
            "language_model": "context of 300 tokens is too short for 256 visual tokens and answers of 128; "
            "use fewer frames, more pooling or shorter answers"
        },
    ),
    "prompt width": (
        ["prompt_adapter.type=narrow"],
        {"prompt_adapter": "makes prompts of width 7; the decoder takes 128."},
    ),
    "no prompt": (
        ["mask_decoder.type=promptless"],
        {"mask_decoder": "takes 0 prompt tokens of width 8; both must be at least 1"},
    ),
    "no seg facts": (["seg=null"], {"seg": "is missing; a composed model needs it"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_named_alone(kind: str) -> None:
    overrides, expected = KINDS[kind]
    assert problems(*overrides) == expected


def test_seg_facts_have_no_default() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.load("videoglamm-tiny", ["seg={token: '[SEG]'}"])
    assert dict(caught.value.problems) == {"seg.state": "field required", "seg.norm": "field required"}


def test_a_framewise_decoder_on_a_task_that_tracks() -> None:
    expected = (
        "sam2 decodes frame by frame, and task follow follows objects by memory; "
        "use a decoder, or a mode of it, that tracks"
    )
    assert problems(tasks=("follow",)) == {"mask_decoder": expected}
    assert plan(Recipe.load("videoglamm-tiny", ["mask_decoder.mode=memory"]), tasks=("follow",)).parts
    assert plan(Recipe.load("videoglamm-tiny"), tasks=("refseg",)).parts
    with pytest.raises(PluginError, match="no task 'swim'"):
        plan(Recipe.load("videoglamm-tiny"), tasks=("swim",))


def test_the_command_asks_for_tasks_too() -> None:
    result = CliRunner().invoke(app, ["check", "videoglamm-tiny", "--task", "follow"])
    assert isinstance(result.exception, RecipeError)
    assert "mask_decoder: sam2 decodes frame by frame" in str(result.exception)


def test_all_kinds_come_at_once() -> None:
    together = (
        "image_encoder.type=gridless",
        "sampling.frames=6",
        "language_model.context=100",
        "prompt_adapter.type=narrow",
        "seg=null",
    )
    found = problems(*together, tasks=("follow",))
    assert set(found) == {
        "image_adapter", "sampling.frames", "language_model", "prompt_adapter", "seg", "mask_decoder"
    }  # fmt: skip
