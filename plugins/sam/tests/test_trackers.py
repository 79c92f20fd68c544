"""Trackers keep the contract of mask decoders, and find what transformers' own video sessions find."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from grounding_sam import standin
from grounding_sam.edgetam import EdgeTamDecoder
from grounding_sam.sam3 import Sam3Decoder
from grounding_videoglamm.sam2 import Sam2Decoder
from grounding_videoglamm.tracker import Tracker
from safetensors.torch import load_file, save_file
from transformers.models.edgetam_video.modeling_edgetam_video import EdgeTamVideoInferenceSession
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession
from transformers.models.sam3_tracker_video.modeling_sam3_tracker_video import (
    Sam3TrackerVideoInferenceSession,
)

from grounding_core.errors import CheckpointError, QueryError
from grounding_core.interfaces.spatial_prompts import Propagation, SpatialPrompts
from grounding_core.testing import MaskDecoderConformance
from grounding_core.video import Video

UNREACHED = (
    "network.mask_downsample*",
    "network.no_memory_positional_encoding",
    "network.prompt_encoder.*",
    "network.mask_decoder.iou_prediction_head.*",
)
BY_MEMORY = {"mode": "memory", "trained_by": "memory"}
MEMORY = (
    "network.memory_*",
    "network.object_pointer_proj*",
    "network.no_object_pointer",
    "network.occlusion_spatial_embedding_parameter",
    "network.temporal_positional_encoding_projection_layer.*",
)


class TestEdgeTam(MaskDecoderConformance):
    name = "edgetam"
    unreached = UNREACHED
    tolerance = 2e-3

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        return {"weights": str(standin.edgetam(folder / "edgetam")), **BY_MEMORY}


class TestSam3(MaskDecoderConformance):
    name = "sam3"
    # The coarsest of the four feature maps is the detector's.
    unreached = (*UNREACHED, "network.vision_encoder.neck.fpn_layers.3.*")
    tolerance = 2e-3

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        return {"weights": str(standin.sam3(folder / "sam3")), **BY_MEMORY, "prompt_tokens": 2}


class TestSam3Framewise(TestSam3):
    unreached = (*TestSam3.unreached, *MEMORY)

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        return {"weights": str(standin.sam3(folder / "sam3")), "mode": "framewise"}


FRAMES, HEIGHT, WIDTH, START = 6, 40, 56, 2
FAMILY = {
    "sam2": (standin.sam2, Sam2Decoder, Sam2VideoInferenceSession),
    "edgetam": (standin.edgetam, EdgeTamDecoder, EdgeTamVideoInferenceSession),
    "sam3": (standin.sam3, Sam3Decoder, Sam3TrackerVideoInferenceSession),
}


def square(box: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


PROMPTS: Mapping[str, SpatialPrompts] = {
    "boxes": SpatialPrompts(boxes=np.array([[8, 6, 30, 22], [20, 10, 44, 30]], float)),
    "point": SpatialPrompts(points=np.array([[[18, 14, 1]], [[30, 20, 1]]], float)),
    "points": SpatialPrompts(points=np.array([[[18, 14, 1], [2, 2, 0]], [[30, 20, 1], [50, 35, 1]]], float)),
    "boxes and points": SpatialPrompts(
        boxes=np.array([[8, 6, 30, 22], [20, 10, 44, 30]], float),
        points=np.array([[[18, 14, 1]], [[24, 12, 0]]], float),
    ),
    "masks": SpatialPrompts(masks=np.stack([square((8, 6, 30, 22)), square((20, 10, 44, 30))])),
}


@pytest.fixture(scope="module", params=FAMILY)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tracker, type]:
    torch.manual_seed(4)
    save, component, session = FAMILY[request.param]
    folder = save(tmp_path_factory.mktemp("weights") / request.param)
    options = {"weights": str(folder), "mode": "memory", "batch": 2}
    decoder = component(component.Config.model_validate(options)).eval()
    # Everything is there: the two differ in nothing but bookkeeping where something is not.
    torch.nn.init.constant_(decoder.network.mask_decoder.pred_obj_score_head.proj_out.bias, 50.0)
    return decoder, session


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)


def session_masks(
    decoder: Tracker,
    make: Callable[..., Any],
    frames: np.ndarray,
    prompts: SpatialPrompts,
    row: int,
    reverse: bool,
) -> list[torch.Tensor]:
    """Masks of one object at the frame's size, in the order of tracking, by transformers."""
    pixels = decoder.pixels(torch.from_numpy(frames), torch.float32)
    session = make(pixels, HEIGHT, WIDTH, dtype=torch.float32)
    place = session.obj_id_to_idx(0)
    if prompts.masks is not None:
        mask = torch.from_numpy(prompts.masks[row]).float()[None, None]
        size = (decoder.size, decoder.size)
        mask = torch.nn.functional.interpolate(mask, size, mode="bilinear", antialias=True)
        session.add_mask_inputs(place, START, mask)
    else:
        points, labels = [], []
        if prompts.boxes is not None:
            points += prompts.boxes[row].reshape(2, 2).tolist()
            labels += [2, 3]
        if prompts.points is not None:
            points += prompts.points[row, :, :2].tolist()
            labels += prompts.points[row, :, 2].tolist()
        scale = torch.tensor([decoder.size / WIDTH, decoder.size / HEIGHT])
        inputs = {
            "point_coords": torch.tensor([[points]]) * scale,
            "point_labels": torch.tensor([[labels]], dtype=torch.int32),
        }
        session.add_point_inputs(place, START, inputs)
    session.obj_with_new_inputs = [0]
    order = range(START, -1, -1) if reverse else range(START, FRAMES)
    low = [decoder.network(session, frame_idx=frame, reverse=reverse).pred_masks for frame in order]
    return [
        torch.nn.functional.interpolate(each.float(), size=(HEIGHT, WIDTH), mode="bilinear")[0, 0]
        for each in low
    ]


@torch.inference_mode()
@pytest.mark.slow
@pytest.mark.parametrize("kind", PROMPTS)
def test_propagation_is_what_a_session_gives(
    family: tuple[Tracker, type], frames: np.ndarray, kind: str
) -> None:
    decoder, session = family
    prompts = PROMPTS[kind]
    assert isinstance(decoder, Propagation)
    ours = dict(decoder.propagate(decoder.open(Video.open(frames)), prompts, START))
    assert list(ours) == [2, 3, 4, 5, 1, 0]
    for row in range(2):
        forward = session_masks(decoder, session, frames, prompts, row, False)
        back = session_masks(decoder, session, frames, prompts, row, True)
        expected = {START + i: mask for i, mask in enumerate(forward)}
        expected |= {START - i: mask for i, mask in enumerate(back)}
        for frame, mask in expected.items():
            torch.testing.assert_close(ours[frame][row], mask, atol=5e-3, rtol=5e-3)


@torch.inference_mode()
def test_prompts_matter_over_time(family: tuple[Tracker, type], frames: np.ndarray) -> None:
    decoder, _ = family
    found = dict(decoder.propagate(decoder.open(Video.open(frames)), PROMPTS["boxes"], START))
    assert all((found[frame][0] - found[frame][1]).abs().max() > 1e-3 for frame in range(FRAMES))


def test_impossible_prompts() -> None:
    with pytest.raises(QueryError, match="prompted by nothing"):
        SpatialPrompts()
    with pytest.raises(QueryError, match="boxes, points, or both"):
        SpatialPrompts(boxes=np.zeros((2, 4)), points=np.zeros((3, 1, 3)))
    with pytest.raises(QueryError, match="masks alone"):
        SpatialPrompts(boxes=np.zeros((2, 4)), masks=np.zeros((2, 8, 8), bool))
    with pytest.raises(QueryError, match=r"shape boxes \(2, 3\)"):
        SpatialPrompts(boxes=np.zeros((2, 3)))


@pytest.mark.parametrize("component", [EdgeTamDecoder, Sam3Decoder])
def test_missing_weights(component: type, tmp_path: Path) -> None:
    config = component.Config.model_validate({"weights": str(tmp_path), "mode": "memory"})  # type: ignore[attr-defined]
    with pytest.raises(CheckpointError, match=r"weights: .* has no config\.json"):
        component.spec(config)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FAMILY)
def test_a_folder_without_its_mask_decoder_is_refused(name: str, tmp_path: Path) -> None:
    save, component, _ = FAMILY[name]
    folder = save(tmp_path / name)
    weights = load_file(folder / "model.safetensors")
    kept = {key: value for key, value in weights.items() if "mask_decoder." not in key}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    config = component.Config.model_validate({"weights": str(folder), "mode": "memory"})
    with pytest.raises(CheckpointError, match=rf"lack {len(weights) - len(kept)} keys of .*mask_decoder"):
        component(config)
