"""Converting checkpoints: every layout, the way back, and everything that must be refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from converting_memory import peaks, write_checkpoint
from grounding_videoglamm.convert import VideoGlammConverter
from grounding_videoglamm.keys import IMAGE, SAM2, VIDEO
from grounding_videoglamm.standin import numbered_tokenizer
from safetensors.torch import load_file, save_file
from tiny_reference import CONFIG, UNUSED, tensors, write_config
from torch import Tensor

from grounding_core.checkpoint import load_weights
from grounding_core.compose import build_composed, plan
from grounding_core.config import Recipe
from grounding_core.conversion import convert, convert_back
from grounding_core.errors import CheckpointError, RecipeError
from grounding_core.hub import RECIPE
from grounding_core.tensors import REOPEN_BYTES, open_tensors, write_tensors

CONVERTER = VideoGlammConverter()


@pytest.fixture(scope="module")
def reference() -> dict[str, Tensor]:
    return tensors()


@pytest.fixture
def source(tmp_path: Path, reference: dict[str, Tensor]) -> Path:
    folder = tmp_path / "source"
    write_config(folder)
    save_file(reference, folder / "model.safetensors")
    return folder


def test_there_and_back(source: Path, tmp_path: Path, reference: dict[str, Tensor]) -> None:
    ours = tmp_path / "ours"
    report = convert(CONVERTER, source, ours)
    assert set(report.unused) == set(UNUSED)
    numbered_tokenizer(ours, 40, special={39: "[SEG]"}, start=1, end=2)
    recipe = Recipe.load(ours / RECIPE, ["language_model.end_tokens=[]"])
    assert recipe.language_model is not None
    assert recipe.language_model.options["sliding_window"] == 41  # one key more than the source says
    model = build_composed(plan(recipe))
    weight = model.get_submodule("language_model.network.lm_head").weight
    assert torch.equal(weight, reference["lm_head.weight"].float())
    convert_back(CONVERTER, ours, tmp_path / "back")
    back = load_file(tmp_path / "back" / "model.safetensors")
    assert set(back) == set(reference)
    assert all(torch.equal(back[key], reference[key]) for key in back)
    assert json.loads((tmp_path / "back" / "config.json").read_text())["num_frames"] == 4


def test_sharded_pytorch_files_with_towers_beside_them(tmp_path: Path, reference: dict[str, Tensor]) -> None:
    beside = {IMAGE: "clip", VIDEO: "internvideo2", SAM2: "sam2"}
    main = {key: value for key, value in reference.items() if not key.startswith((*beside, "model.vision"))}
    folder = tmp_path / "source"
    write_config(folder)
    names = sorted(main)
    shards = {"pytorch_model-1.bin": names[::2], "pytorch_model-2.bin": names[1::2]}
    for file, keys in shards.items():
        torch.save({key: main[key] for key in keys}, folder / file)
    index = {key: file for file, keys in shards.items() for key in keys}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    with pytest.raises(CheckpointError, match=r"lacks .* keys.*--clip"):
        convert(CONVERTER, folder, tmp_path / "ours")
    extras = {}
    for prefix, name in beside.items():
        own = {key.removeprefix(prefix): value for key, value in reference.items() if key.startswith(prefix)}
        if name == "clip":
            own = {f"vision_model.{key}": value for key, value in own.items()}
            own["text_model.embeddings.weight"] = torch.zeros(2)
        elif name == "internvideo2":
            own = {f"vision_encoder.{key}": value for key, value in own.items()}
        else:
            own = {
                key.replace("layers.0.weight", "layers.0.gamma")
                if "fuser" in key and key.count(".") == 4
                else key: value
                for key, value in own.items()
            }
        extras[name] = tmp_path / f"{name}.pt"
        torch.save({"model": own}, extras[name])
    convert(CONVERTER, folder, tmp_path / "ours", extras=extras)
    convert_back(CONVERTER, tmp_path / "ours", tmp_path / "back")
    back = load_file(tmp_path / "back" / "model.safetensors")
    assert set(back) >= set(reference) - set(UNUSED)
    assert all(torch.equal(back[key], reference[key]) for key in back)


def test_large_checkpoints_are_sharded(source: Path, tmp_path: Path) -> None:
    stored = open_tensors(source)
    out = tmp_path / "shards"
    out.mkdir()
    files = write_tensors(stored, out, shard_bytes=100_000)
    assert len(files) > 2
    again = open_tensors(out)
    assert set(again) == set(stored)
    assert all(torch.equal(again[key].read(), stored[key].read()) for key in stored)
    assert (out / "model.safetensors.index.json").is_file()


def refused(source: Path, tmp_path: Path, *words: str) -> None:
    """Converting fails, names these words, and leaves nothing behind."""
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        convert(CONVERTER, source, tmp_path / "ours")
    for word in words:
        assert word in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before


def test_keys_left_over_missing_or_of_other_shapes(
    source: Path, tmp_path: Path, reference: dict[str, Tensor]
) -> None:
    file = source / "model.safetensors"
    save_file(reference | {"model.extra.weight": torch.zeros(1)}, file)
    refused(source, tmp_path, "model.extra.weight", "--allow")
    convert(CONVERTER, source, tmp_path / "allowed", allow=["model.extra.{x}"])
    save_file({key: value for key, value in reference.items() if key != "model.norm.weight"}, file)
    refused(source, tmp_path, "model.norm.weight")
    report = convert(
        CONVERTER, source, tmp_path / "filled", allow=["language_model.network.model.norm.weight"]
    )
    assert report.filled == ("language_model.network.model.norm.weight",)
    save_file(reference | {"model.norm.weight": torch.zeros(3)}, file)
    refused(source, tmp_path, "model.safetensors", "model.norm.weight", "(3,)", "(16,)")


def test_another_models_checkpoint(source: Path, tmp_path: Path) -> None:
    save_file({"encoder.weight": torch.zeros(2)}, source / "model.safetensors")
    refused(source, tmp_path, "no VideoGLaMM checkpoint")


def test_unsupported_settings_are_named(source: Path, tmp_path: Path) -> None:
    config = json.loads((source / "config.json").read_text())
    config["sam2"]["num_maskmem"] = 3
    (source / "config.json").write_text(json.dumps(config))
    refused(source, tmp_path, "sam2.num_maskmem")


def test_a_truncated_file(source: Path, tmp_path: Path) -> None:
    file = source / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    refused(source, tmp_path, str(file), "damaged")


CONVERT = """
import sys, time
from pathlib import Path
from grounding_videoglamm.convert import VideoGlammConverter
from grounding_core import conversion, tensors
write = tensors.write_file
def slow(path, entries):
    write(path, entries)
    print("written", flush=True)
    time.sleep(60)
tensors.write_file = slow
conversion.convert(VideoGlammConverter(), Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_conversion_leaves_nothing_that_looks_whole(source: Path, tmp_path: Path) -> None:
    ours = tmp_path / "results" / "ours"
    words = [sys.executable, "-c", CONVERT, str(source), str(ours)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"  # all weights, but no recipe yet
        process.kill()
    assert [path.name.startswith(".ours.") for path in ours.parent.iterdir()] == [True]
    with pytest.raises(CheckpointError):
        convert_back(CONVERTER, ours, tmp_path / "back")
    with pytest.raises(RecipeError, match="does not exist"):
        Recipe.load(ours / RECIPE)
    convert(CONVERTER, source, ours)
    assert [path.name for path in ours.parent.iterdir()] == ["ours"]  # the remains are gone too
    assert Recipe.load(ours / RECIPE).checkpoint == str(ours)


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_code_in_a_pickle_is_not_run(source: Path, tmp_path: Path) -> None:
    (source / "model.safetensors").unlink()
    torch.save(
        {"lm_head.weight": torch.zeros(1), "x": Evil(tmp_path / "trace")}, source / "pytorch_model.bin"
    )
    refused(source, tmp_path, "pytorch_model.bin", "more than tensors")
    assert not (tmp_path / "trace").exists()


def test_nothing_is_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    refused(source, tmp_path, "exists")


def test_weights_of_parts_taken_out_are_passed_over(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(1, 2), "other.weight": torch.ones(1)}, tmp_path / "model.safetensors")
    module = torch.nn.Linear(2, 1, bias=False)
    with pytest.raises(CheckpointError, match=r"other\.weight"):
        load_weights(module, tmp_path)
    load_weights(module, tmp_path, absent={"other"})
    assert torch.equal(module.weight.detach(), torch.ones(1, 2))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_checkpoint(tmp_path: Path) -> None:
    """A few dozen layers more on disk (half a gigabyte), and nearly the same peak."""
    sources, sizes = [], []
    widths = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8}
    for layers in (2, 60):
        config = {**CONFIG, "llm_config": {**CONFIG["llm_config"], **widths, "num_hidden_layers": layers}}
        for pytorch in (False, True):
            sources.append(tmp_path / f"{layers}-{pytorch}")
            sizes.append(write_checkpoint(sources[-1], config, pytorch=pytorch))
    small, _, large, large_pytorch = peaks(sources)
    more = sizes[-1] - sizes[0]
    assert more > 450 * 10**6
    assert large - small < 0.2 * more
    # Mapped pages count until the file is opened anew.
    assert large_pytorch - small < REOPEN_BYTES + 0.2 * more < more


def test_a_truncated_pytorch_file(tmp_path: Path, reference: dict[str, Tensor]) -> None:
    """Of one shard among several: the error names it, wherever it was cut."""
    source = tmp_path / "source"
    write_config(source)
    names = sorted(reference)
    shards = {"pytorch_model-1.bin": names[::2], "pytorch_model-2.bin": names[1::2]}
    for file, keys in shards.items():
        torch.save({key: reference[key] for key in keys}, source / file)
    index = {key: file for file, keys in shards.items() for key in keys}
    (source / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    file = source / "pytorch_model-2.bin"
    whole = file.read_bytes()
    for size in (0, 3, 1000, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        refused(source, tmp_path, str(file), "damaged")
