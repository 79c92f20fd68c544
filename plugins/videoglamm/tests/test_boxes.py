"""Boxes as prompts of the SAM 2 decoder, against transformers' own video session."""

import numpy as np
import pytest
import torch
from grounding_videoglamm.images import long_side_stretch
from grounding_videoglamm.sam2 import Sam2Config, Sam2Decoder
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from grounding_core.interfaces.box_prompts import BoxPrompts
from grounding_core.video import Video

FRAMES, HEIGHT, WIDTH = 3, 40, 64
BOXES = ({0: (8.0, 6.0, 30.0, 22.0), 2: (20.0, 10.0, 44.0, 30.0)}, {0: (2.0, 20.0, 12.5, 39.0)})


@pytest.fixture(scope="module")
def decoder() -> Sam2Decoder:
    torch.manual_seed(3)
    config = Sam2Config(
        mode="framewise", image_size=128, trunk_width=32, trunk_heads=1, stages=(1, 1, 2, 1),
        windows=(8, 4, 8, 4), global_blocks=(3,), width=128, mlp_width=256, memory_layers=1, init_std=0.1,
        batch=2,
    )  # fmt: skip
    decoder = Sam2Decoder(config).eval()
    # The session hides what the network believes absent; boxes are never hidden.
    torch.nn.init.constant_(decoder.network.mask_decoder.pred_obj_score_head.proj_out.bias, 50.0)
    return decoder


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)


@torch.inference_mode()
def test_every_frame_with_a_box_is_what_a_prompted_frame_gives(decoder, frames) -> None:
    assert isinstance(decoder, BoxPrompts)
    ours = list(decoder.track_boxes(decoder.open(Video.open(frames)), BOXES))
    assert [tuple(logits.shape) for logits in ours] == [(2, HEIGHT, WIDTH)] * FRAMES
    pixels = long_side_stretch(torch.from_numpy(frames), decoder.size, torch.float32)
    for row, track in enumerate(BOXES):
        for frame, box in track.items():
            session = Sam2VideoInferenceSession(pixels, HEIGHT, WIDTH, dtype=torch.float32)
            scale = torch.tensor([decoder.size / WIDTH, decoder.size / HEIGHT])
            points = torch.tensor(box).reshape(1, 1, 2, 2) * scale
            place = session.obj_id_to_idx(0)
            inputs = {"point_coords": points, "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32)}
            session.add_point_inputs(place, frame, inputs)
            session.obj_with_new_inputs = [0]
            theirs = decoder.network(session, frame_idx=frame).pred_masks
            resized = torch.nn.functional.interpolate(theirs.float(), size=(HEIGHT, WIDTH), mode="bilinear")
            assert resized.std() > 0
            assert torch.allclose(ours[frame][row], resized[0, 0], atol=1e-4)
    assert (ours[1] < 0).all() and (ours[2][1] < 0).all()


@torch.inference_mode()
def test_features_are_used_again(decoder, frames) -> None:
    scene = decoder.open(Video.open(frames))
    first = list(decoder.track_boxes(scene, BOXES))
    assert len(scene.kept) > 0
    assert all(torch.equal(a, b) for a, b in zip(first, decoder.track_boxes(scene, BOXES), strict=True))
