"""Golden numbers of the reference; the folder is kept beside the checkout."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from grounding_videoglamm.images import squash
from grounding_videoglamm.parity import language, vision
from grounding_videoglamm.parity.__main__ import compare
from grounding_videoglamm.parity.compare import Checks
from grounding_videoglamm.parity.golden import Golden


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    folder = shared / "golden" / "videoglamm"
    if not folder.is_dir():
        pytest.skip(f"needs the golden numbers in {folder}")
    return Golden(folder)


def test_towers_and_answers(golden: Golden) -> None:
    checks = Checks(golden)
    model, _ = golden.models()
    with torch.no_grad():
        vision.preprocessing(checks, model)
        vision.merged_tokens(checks, model)
        language.generated(checks, model)
    assert len(checks.rows) > 15
    assert not [row for row in checks.rows if not row.passed]


@pytest.mark.slow
def test_every_stage(golden: Golden) -> None:
    rows = compare(golden.folder)
    assert len({row.stage for row in rows}) > 15
    assert not [row for row in rows if not row.passed]


def test_noise_is_read_from_the_tables(golden: Golden) -> None:
    assert golden.noise["clip_patch_features"] == 2.3e-05
    assert golden.noise["gen_sequences"] == 0
    assert "clip_pixel_values" not in golden.noise
    assert golden.first_frame_noise(2) == 5.1e-05


@pytest.mark.parametrize("name", ["gen_step_logits", "gen_sequences"])
def test_a_difference_fails(golden: Golden, name: str) -> None:
    checks = Checks(golden)
    value = golden.outputs[name].clone()
    value.view(-1)[0] += 1
    (checks.close if value.is_floating_point() else checks.same)(name, value)
    assert not checks.rows[0].passed


SQUASHED = {
    (97, 301): "1b27c81df40ed7db",
    (333, 251): "9912e4caa281fc3c",
    (50, 33): "e734bfdb759de62a",
    (448, 448): "0250b6bc73f396a7",
    (1280, 720): "51794554453eb17f",
}
"""Height and width -> hash of what OpenCV's ``resize`` made of a seeded frame."""


@pytest.mark.parametrize("size", SQUASHED)
def test_stretch_is_opencvs_to_the_last_bit(size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    made = squash(torch.from_numpy(frame)[None], 224)[0].numpy()
    assert hashlib.sha256(made.tobytes()).hexdigest()[:16] == SQUASHED[size]
