"""Models and training compute where their weights are: seen on a device that is not there, without a GPU."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from training_runs import CONFIG, make_samples, recipe, rows, sources

import grounding_core as gc
from grounding_core import Query
from grounding_core.device import default_device
from grounding_core.errors import GroundingError
from grounding_core.model import GroundingModel
from grounding_core.testing.away import Recording, away
from grounding_core.training.config import TrainConfig
from grounding_core.training.loop import train
from grounding_core.types import GroundedText

QUERIES = [Query("", "describe"), Query("the cat"), Query("what moves left?", "ask")]
STAGES = [
    {"name": "words", "objective": "words", "steps": 2},
    {"name": "prompts", "objective": "prompts", "steps": 1},
    {"name": "aligned", "objective": "aligned", "steps": 1},
    {"name": "answers", "steps": 4, "lookups": 2, "losses": {"prompt": 1.0}, "recompute": True},
    {
        "name": "kept",
        "steps": 2,
        "freeze": ["image_encoder", "video_encoder", "image_adapter", "video_adapter", "mask_decoder"],
        "losses": {"bce": 0, "dice": 0, "visible": 0, "prompt": 1.0},
        "keep_visual": True,
    },
]


def alike(one: GroundedText, other: GroundedText) -> bool:
    """The same words, and masks that differ in single pixels at most: kernels may differ in a last bit."""
    pairs = list(zip(one.tracks, other.tracks, strict=True))
    near = all(np.mean(a.masks() != b.masks()) < 0.01 for a, b in pairs)
    return (one.text, one.spans) == (other.text, other.spans) and bool(pairs) and near


def test_the_device_that_is_not_there_acts_as_a_gpu_does() -> None:
    with away() as device:
        there = torch.arange(6.0, device=device).reshape(2, 3)
        assert there.device == device
        assert (there.T @ there).cpu().tolist() == (there.cpu().T @ there.cpu()).tolist()
        for mix in (
            lambda: there + torch.ones(2, 3),
            lambda: torch.cat([there, torch.ones(2, 3)]),
            lambda: torch.ones(2, 3)[there > 1],
            lambda: there.index_put_((torch.tensor([0]),), torch.ones(1, 3)),
            lambda: torch.randn(2, device=device, generator=torch.Generator()),
        ):
            with pytest.raises(RuntimeError, match=r"same device|a generator of cpu"):
                mix()
        with pytest.raises(TypeError, match="send it to the CPU"):
            np.asarray(there)
        assert (there + torch.tensor(1.0)).device == device
        assert there[torch.tensor([1])].tolist() == [[3, 4, 5]]
        there[0] = torch.ones(())
        assert there.sum().item() == 15
        layer = torch.nn.Linear(3, 1).to(device)
        before = layer.weight.detach().cpu()
        optimizer = torch.optim.AdamW(layer.parameters())
        layer(there).sum().backward()
        optimizer.step()
        assert layer.weight.grad is not None and layer.weight.grad.device == device
        assert not torch.equal(layer.weight.detach().cpu(), before)
    assert not torch.accelerator.is_available() or torch.cuda.is_available()


def test_what_a_cuda_graph_can_not_hold_is_refused() -> None:
    with away() as device:
        there = torch.arange(4.0, device=device)
        place = torch.ones(1, dtype=torch.long, device=device)
        with Recording():
            there.index_copy_(0, place, there[3:] * 2)
            for waits in (
                there.sum().item,
                there.cpu,
                lambda: there[there > 1],
                lambda: torch.tensor([1.0]).to(device),
            ):
                with pytest.raises(RuntimeError, match="recorded"):
                    waits()
        assert there.tolist() == [0, 6, 2, 3]


@pytest.mark.parametrize("name", ["videoglamm-tiny", "chunked"])
def test_a_model_answers_where_it_is_put(name: str, clip: Path, tmp_path: Path) -> None:
    source = name
    if name == "chunked":
        source = str(tmp_path / "chunked.yaml")
        text = "name: long\nmodel: {type: chunked, recipe: videoglamm-tiny, length: 16, overlap: 4}\n"
        Path(source).write_text(text)
    here = gc.load(source, device="cpu")
    expected = here.ground(here.encode(gc.Video.open(clip)), QUERIES)
    with away() as device:
        there = gc.load(source, device=str(device))
        inner = there if isinstance(there, GroundingModel) else there.model
        assert inner.device == device
        found = there.ground(there.encode(gc.Video.open(clip)), QUERIES)
    assert all(alike(one, other) for one, other in zip(expected, found, strict=True))


def test_a_stream_is_followed_where_the_model_is(clip: Path) -> None:
    frames = list(gc.Video.open(clip).frames(range(6)))
    expected = list(gc.load("videoglamm-tiny", device="cpu").stream(frames, "the cat", every=4))
    with away() as device:
        found = list(gc.load("videoglamm-tiny", device=str(device)).stream(frames, "the cat", every=4))
    assert len(found) == 6
    assert all(alike(one.answer, other.answer) for one, other in zip(expected, found, strict=True))


@pytest.mark.parametrize("device", ["nowhere", "cuda:99"])
def test_a_device_that_pytorch_does_not_see_is_named(device: str) -> None:
    with pytest.raises(GroundingError, match=rf"device {device}.*\n?.*grounding doctor"):
        gc.load("videoglamm-tiny", device=device)


def test_processes_of_a_machine_take_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_device() == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert default_device() == "cuda:0"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert default_device() == "cuda:1"


@pytest.mark.slow
def test_training_computes_where_accelerate_says(tmp_path: Path) -> None:
    """Every objective, activations made twice, kept visual tokens, validation, and going on after a stop."""
    samples = sources(make_samples(tmp_path / "sprites"))

    def judged(model: GroundingModel, picture: Path) -> dict[str, float]:
        video = samples["sprites", "gcg"][0].open_video()
        return {"letters": float(len(model.ground(video, QUERIES[1]).text))}

    def run(folder: str, *stages: dict[str, object]) -> None:
        config = TrainConfig.model_validate({**CONFIG.model_dump(), "decay": 0, "stages": stages})
        train(recipe(), config, samples, tmp_path / folder, validator=judged)

    run("here", *STAGES)
    with away() as device, mock.patch.object(Accelerator, "device", property(lambda self: device)):
        run("there", *STAGES[:3], {**STAGES[3], "steps": 2})
        run("there", *STAGES)
    folders = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert len(folders) == len(STAGES)
    for folder in folders:
        here, there = (
            [row["total"] for row in rows(tmp_path / place / folder) if "total" in row]
            for place in ("here", "there")
        )
        assert there == pytest.approx(here, rel=1e-2), folder
