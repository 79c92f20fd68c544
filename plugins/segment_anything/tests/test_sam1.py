"""SAM keeps the contract of mask decoders, and gives what the segment-anything package gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from grounding_segment_anything.decoder import Sam1Config, Sam1Decoder
from segment_anything import SamPredictor, build_sam_vit_b
from segment_anything.modeling import Sam

from grounding_core.errors import CheckpointError
from grounding_core.interfaces.box_prompts import BoxPrompts
from grounding_core.testing import MaskDecoderConformance
from grounding_core.video import Video

SIZES = {
    "encoder_width": 32, "encoder_depth": 2, "encoder_heads": 2, "global_blocks": [1], "window": 2,
    "image_size": 64, "width": 32, "mlp_width": 32,
}  # fmt: skip
UNREACHED = (
    "network.prompt_encoder.point_embeddings.*",
    "network.prompt_encoder.not_a_point_embed.*",
    "network.prompt_encoder.mask_downscaling.*",
    "network.mask_decoder.iou_prediction_head.*",
)


class TestSam1(MaskDecoderConformance):
    name = "sam1"
    options = {"model": SIZES, "batch": 2}
    unreached = UNREACHED


class TestSam1WithCarriedMasks(MaskDecoderConformance):
    name = "sam1"
    options = {"model": SIZES, "carry": True, "prompt_tokens": 2}
    unreached = UNREACHED


@pytest.fixture
def decoder() -> Sam1Decoder:
    torch.manual_seed(5)
    return Sam1Decoder(Sam1Config.model_validate(TestSam1.options)).eval()


def movie(frames: int = 3) -> Video:
    return Video.open(np.random.default_rng(2).integers(0, 255, (frames, 40, 56, 3), dtype=np.uint8))


@torch.inference_mode()
def test_boxes_give_the_masks_of_the_packages_predictor(decoder: Sam1Decoder) -> None:
    assert isinstance(decoder, BoxPrompts)
    boxes = [{0: (4.0, 6.0, 30.0, 22.0), 2: (20.0, 10.0, 44.0, 30.0)}, {2: (2.0, 20.0, 12.5, 39.0)}]
    net = decoder.network
    predictor = SamPredictor(Sam(net.image_encoder, net.prompt_encoder, net.mask_decoder))
    for frame, ours in enumerate(decoder.track_boxes(decoder.open(movie()), boxes)):
        for row, track in enumerate(boxes):
            if frame not in track:
                assert (ours[row] < 0).all()
                continue
            predictor.set_image(movie().frames([frame])[0])
            theirs, _, _ = predictor.predict(
                box=np.array(track[frame]), multimask_output=False, return_logits=True
            )
            assert theirs.std() > 0
            np.testing.assert_allclose(ours[row].numpy(), theirs[0], atol=1e-4)


@torch.inference_mode()
def test_a_carried_mask_is_the_next_frames_prompt(decoder: Sam1Decoder) -> None:
    prompts = torch.randn(2, 1, 32)
    carrying = Sam1Decoder(decoder.config.model_copy(update={"carry": True})).eval()
    carrying.load_state_dict(decoder.state_dict())
    alone, carried = (list(one.track(one.open(movie(2)), prompts)) for one in (decoder, carrying))
    torch.testing.assert_close(alone[0], carried[0])
    assert not torch.allclose(alone[1], carried[1])
    features = decoder.image_features(torch.from_numpy(movie().frames([0])))
    empty = torch.full((2, 16, 16), -1.0)
    torch.testing.assert_close(
        decoder.masks(features, prompts, empty), decoder.masks(features, prompts)
    )  # nothing to carry


def test_features_beyond_the_budget_are_computed_again(decoder: Sam1Decoder) -> None:
    prompts = torch.randn(1, 1, 32)
    frugal = Sam1Decoder(decoder.config.model_copy(update={"budget_mb": 0})).eval()
    frugal.load_state_dict(decoder.state_dict())
    with torch.inference_mode():
        scene, bare = decoder.open(movie()), frugal.open(movie())
        once, twice = (torch.stack(list(decoder.track(scene, prompts))) for _ in range(2))
        torch.testing.assert_close(once, twice)
        torch.testing.assert_close(torch.stack(list(frugal.track(bare, prompts))), once)
    assert [len(batch) for batch in scene.kept] == [2, 1]
    assert not bare.kept


def test_published_layout(decoder: Sam1Decoder, tmp_path: Path) -> None:
    """The file holds what ``Sam.state_dict()`` holds, as Meta published it."""
    net = decoder.network
    file = tmp_path / "sam.pth"
    torch.save(Sam(net.image_encoder, net.prompt_encoder, net.mask_decoder).state_dict(), file)
    loaded = Sam1Decoder(decoder.config.model_copy(update={"weights": str(file)}))
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), decoder.parameters(), strict=True))
    with pytest.raises(CheckpointError, match=r"no SAM of these sizes: \d+ keys.*vit_b, vit_l or vit_h"):
        wider = {**SIZES, "width": 64}
        Sam1Decoder(Sam1Config.model_validate({"model": wider, "weights": str(file)}))


@pytest.mark.parametrize("source", ["none/sam.pth", "/none/sam.pth", "./a/b/c.pth"])
def test_missing_checkpoint(source: str) -> None:
    with pytest.raises(CheckpointError, match=r"There is no SAM checkpoint .*sam_vit_b_01ec64\.pth"):
        Sam1Decoder(Sam1Config.model_validate({"model": SIZES, "weights": source}))


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "sam.pth"
    torch.save({"model": test_missing_checkpoint}, file)
    with pytest.raises(CheckpointError, match="more than tensors"):
        Sam1Decoder(Sam1Config.model_validate({"model": SIZES, "weights": str(file)}))


def test_unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="can't be fetched"):
        Sam1Decoder(Sam1Config.model_validate({"model": SIZES, "weights": "nobody/no-such/sam.pth"}))


def test_published_sizes_are_the_packages() -> None:
    with torch.device("meta"):
        ours = Sam1Decoder(Sam1Config()).network.state_dict()
        theirs = build_sam_vit_b().state_dict()
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in theirs.items()
    }
