"""A compiled vision encoder gives the masks of one that is not."""

import shutil

import pytest
import torch
from grounding_videoglamm.sam2 import Sam2Decoder
from test_conformance import SAM2

from grounding_core.video import Video


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_features_give_the_same_masks() -> None:
    video = Video.open(torch.randint(0, 256, (5, 48, 64, 3), dtype=torch.uint8).numpy())
    prompts = torch.randn(2, 1, 64)
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        options = {**SAM2, "mode": "framewise", "batch": 2, "compile_features": compiled}
        decoder = Sam2Decoder(Sam2Decoder.Config.model_validate(options)).eval()
        with torch.inference_mode():
            found.append(torch.stack(list(decoder.track(decoder.open(video), prompts))))
    plain, fast = found
    torch.testing.assert_close(fast, plain, atol=1e-3, rtol=1e-3)
