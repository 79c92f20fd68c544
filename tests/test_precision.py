"""Weights in half precision and in 8 and 4 bits: the shipped model answers much the same."""

from __future__ import annotations

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from time import sleep

import numpy as np
import pytest
import torch
from rich.console import Console
from small import small_model, small_recipe
from torch import nn

import grounding_core as gc
from grounding_core.checkpoint import load_weights, save_weights
from grounding_core.compose import PlannedPart, build_composed, plan
from grounding_core.config import Recipe
from grounding_core.errors import CheckpointError, GroundingError, RecipeError
from grounding_core.interfaces.frame_selector import Uniform
from grounding_core.masks import decode
from grounding_core.model import GroundingModel
from grounding_core.precision import empty_parameters, set_precision, unquantised
from grounding_core.training.config import Lora, TrainConfig
from grounding_core.training.parts import choose_parts, merged_state
from grounding_core.types import GroundedText


def answer(clip: Path, *overrides: str) -> tuple[GroundingModel, GroundedText]:
    """What the shipped model says of a bus that enters."""
    model: GroundingModel = gc.load("videoglamm-tiny", overrides=overrides)
    return model, model.ground(clip, "the yellow bus")


def pixels(found: GroundedText) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    track = found.tracks[0]
    masks = [
        np.zeros(track.size, bool) if mask is None else decode(mask, track.size) for mask in track.frames
    ]
    return np.stack(masks).astype(bool)


@pytest.fixture(scope="module")
def full(clip: Path) -> GroundedText:
    return answer(clip)[1]


@pytest.mark.parametrize(
    ("overrides", "types"),
    [
        (["precision=bf16"], {torch.bfloat16}),
        (["precision=fp16"], {torch.float16}),
        (["language_model.precision=bf16"], {torch.bfloat16, torch.float32}),
        (["precision=bf16", "mask_decoder.precision=fp32"], {torch.bfloat16, torch.float32}),
        (["language_model.precision=int8"], {torch.int8, torch.float32}),
        (["precision=bf16", "language_model.precision=nf4"], {torch.uint8, torch.bfloat16}),
    ],
)
def test_answers_are_near_those_of_full_precision(
    clip: Path, full: GroundedText, overrides: list[str], types: set[torch.dtype]
) -> None:
    if not {torch.int8, torch.uint8}.isdisjoint(types):
        pytest.importorskip("bitsandbytes", reason="8 and 4 bits need bitsandbytes")
    model, found = answer(clip, *overrides)
    assert {parameter.dtype for parameter in model.parameters()} == types
    assert model.language_model.network.model.rotary_emb.inv_freq.dtype == torch.float32
    assert found.meta["markup"] == full.meta["markup"]
    ours, theirs = pixels(found), pixels(full)
    assert theirs.any()
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.8


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_quantised_when_filled_and_when_loaded_already(tmp_path: Path, precision: str) -> None:
    """The same bits whether a checkpoint fills the model or its parts came with weights of their own."""
    pytest.importorskip("bitsandbytes", reason="8 and 4 bits need bitsandbytes")
    torch.manual_seed(0)
    save_weights(build_composed(plan(small_recipe(tmp_path)), weights=False).state_dict(), tmp_path / "w")
    option = f"language_model.precision={precision}"
    filled = build_composed(plan(small_recipe(tmp_path, option, f"checkpoint={tmp_path / 'w'}")))
    torch.manual_seed(0)
    changed = build_composed(plan(small_recipe(tmp_path, option)), weights=False)
    before = dict(changed.named_parameters())
    assert len(before) > 100
    for name, parameter in filled.named_parameters():
        assert torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_weights_of_the_hub_are_quantised_as_they_are_read(tmp_path: Path, precision: str) -> None:
    """By transformers; the bits are those of a network that is quantised when it is there in full."""
    pytest.importorskip("bitsandbytes", reason="8 and 4 bits need bitsandbytes")
    own = small_model(tmp_path).language_model
    own.network.save_pretrained(tmp_path / "hub")
    option = f"language_model.precision={precision}"
    read = build_composed(plan(small_recipe(tmp_path, option, f"language_model.weights={tmp_path / 'hub'}")))
    assert read.language_model.network.config.quantization_config is not None
    set_precision(own, precision, "fp32")
    own.eval()  # the layers that are new in it
    bits = own.state_dict()
    assert {tensor.dtype for tensor in bits.values()} > {torch.float32}
    found = read.language_model.state_dict()
    assert set(found) == set(bits)
    assert all(torch.equal(found[key], value) for key, value in bits.items())
    states = [
        lm.generate(lm.prefix([[1, 2, 3]]), [[4, 5]], max_new_tokens=3).states[0]
        for lm in (own, read.language_model)
    ]
    assert torch.equal(*states)


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_only_adapters_train_in_few_bits(tmp_path: Path, precision: str) -> None:
    """What comes out are numbers: the weights as the bits gave them, and what adapters add."""
    pytest.importorskip("bitsandbytes", reason="8 and 4 bits need bitsandbytes")
    full = small_model(tmp_path).state_dict()
    model = small_model(tmp_path)
    set_precision(model.language_model, precision, "fp32")
    quiet = Console(quiet=True)
    with pytest.raises(GroundingError, match=r"language_model\.precision .* training\.lora"):
        choose_parts(model, TrainConfig(), quiet)
    choose_parts(model, TrainConfig(freeze=("language_model",)), quiet)
    assert not any(p.requires_grad for p in model.language_model.parameters())
    lora = Lora(rank=2)
    choose_parts(model, TrainConfig(lora=lora), quiet)
    trained = [p for p in model.language_model.parameters() if p.requires_grad]
    model.language_model.network(input_ids=torch.arange(9)[None]).logits.sum().backward()
    assert trained and all(p.grad is not None for p in trained)
    merged = merged_state(unquantised(model.state_dict(), model), model, lora)
    assert {key: value.shape for key, value in merged.items()} == {k: v.shape for k, v in full.items()}
    for key, value in merged.items():
        error = (value - full[key]).double().norm()
        assert error <= 0.15 * full[key].double().norm(), key
    key = "language_model.network.model.layers.0.self_attn.qkv_proj"
    with torch.no_grad():
        model.get_submodule(f"{key}.lora_B.default").weight.fill_(1.0)
    again = merged_state(unquantised(model.state_dict(), model), model, lora)
    assert [name for name in merged if not torch.equal(merged[name], again[name])] == [f"{key}.weight"]


def test_training_what_is_kept_in_half_precision_is_warned_of(tmp_path: Path) -> None:
    model = small_model(tmp_path)
    model.prompt_adapter.to(torch.bfloat16)
    told = Console(record=True, width=200, file=io.StringIO())
    choose_parts(model, TrainConfig(), told)
    said = told.export_text()
    assert (
        "prompt_adapter: its weights are kept in half precision" in said and "mask_decoder: its" not in said
    )
    choose_parts(model, TrainConfig(freeze=("prompt_adapter",)), told)
    assert "half precision" not in told.export_text()


@pytest.mark.parametrize("target", ["c_proj", "c_attn"])
def test_adapters_of_layers_with_turned_weights_are_merged(target: str, tmp_path: Path) -> None:
    """GPT-2's linear layers keep their weights the other way round, square ones too."""
    sizes = {"model_type": "gpt2", "n_embd": 192, "n_layer": 1, "n_head": 3, "vocab_size": 400}
    chosen = [f"language_model.network={json.dumps(sizes)}", f"language_model.tokenizer={tmp_path}/tokenizer"]
    model, fresh = (small_model(tmp_path, "language_model.type=causal_lm", *chosen).eval() for _ in range(2))
    lora = Lora(rank=2, targets=(target,), dropout=0)
    choose_parts(model, TrainConfig(lora=lora), Console(quiet=True))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                nn.init.normal_(parameter, std=0.3)
    fresh.load_state_dict(merged_state(model.state_dict(), model, lora))
    ids = torch.arange(9)[None]
    live, merged = (one.language_model.network(input_ids=ids).logits for one in (model, fresh))
    torch.testing.assert_close(merged, live, atol=1e-4, rtol=1e-4)
    with pytest.raises(GroundingError, match=r"wte, which holds embeddings"):
        choose_parts(fresh, TrainConfig(lora=Lora(targets=("wte",))), Console(quiet=True))


def test_quantising_is_for_language_models_and_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"mask_decoder\.precision: nf4 is for the language model"):
        plan(Recipe.load("videoglamm-tiny", ["mask_decoder.precision=nf4"]))
    with pytest.raises(RecipeError, match=r"language_model\.precision"):
        plan(Recipe.load("videoglamm-tiny", ["language_model.precision=int3"]))
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(RecipeError, match=r"needs bitsandbytes; pip install 'grounding-core\[quantised\]'"):
        plan(Recipe.load("videoglamm-tiny", ["language_model.precision=nf4"]))


class Tied(nn.Module):
    """Two layers with one weight, and a buffer that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("table", torch.arange(3.0), persistent=False)


def test_empty_modules_are_filled_and_stay_tied(tmp_path: Path) -> None:
    full = Tied()
    save_weights(full.state_dict(), tmp_path)
    with empty_parameters():
        empty = Tied()
    assert empty.first.weight.is_meta
    load_weights(empty, tmp_path)
    assert empty.first.weight is empty.second.weight
    assert torch.equal(empty.first.weight, full.first.weight)
    assert torch.equal(empty.get_buffer("table"), torch.arange(3.0))
    assert not nn.Linear(1, 1).weight.is_meta
    with empty_parameters():
        wider = nn.ModuleDict({"first": nn.Linear(2, 2), "second": nn.Linear(2, 2, bias=False)})
    with pytest.raises(CheckpointError, match=r"lacks 1 keys, the first is first\.bias"):
        load_weights(wider, tmp_path)


def test_what_loads_in_one_thread_does_not_reach_others() -> None:
    second_in, first_out = Event(), Event()

    def first() -> bool:
        with empty_parameters():
            assert second_in.wait(30)
        first_out.set()
        return nn.Linear(2, 2).weight.is_meta

    def second() -> bool:
        with empty_parameters():
            second_in.set()
            assert first_out.wait(30)
            return nn.Linear(2, 2).weight.is_meta

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.submit(first), threads.submit(second)
        assert second_in.wait(30)
        assert not nn.Linear(2, 2).weight.is_meta
        assert (one.result(30), other.result(30)) == (False, True)
    assert not nn.Linear(2, 2).weight.is_meta


def test_models_are_made_one_after_the_other(tmp_path: Path) -> None:
    """While transformers reads a network, PyTorch's initialisers are not what they are."""
    making: list[int] = []
    most: list[int] = []

    class Slow(Uniform):
        def __init__(self, config: None) -> None:
            making.append(1)
            most.append(len(making))
            sleep(0.1)
            making.pop()

    planned = replace(
        plan(small_recipe(tmp_path)), selector=PlannedPart("sampling.select", "slow", Slow, None)
    )
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: build_composed(planned, weights=False), range(3)))
    assert most == [1, 1, 1]
