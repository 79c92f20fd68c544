"""A folder of reference numbers: configuration, checkpoint, inputs, outputs and their noise."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from grounding_core.compose import build_composed, plan
from grounding_core.config import Recipe
from grounding_core.conversion import convert
from grounding_core.errors import CheckpointError
from grounding_core.hub import RECIPE
from grounding_core.model import GroundingModel
from grounding_core.video import sample_indices
from grounding_videoglamm.adapters import MlpPoolAdapter
from grounding_videoglamm.clip import ClipEncoder
from grounding_videoglamm.convert import VideoGlammConverter
from grounding_videoglamm.internvideo2 import InternVideo2Encoder
from grounding_videoglamm.phi3 import Phi3
from grounding_videoglamm.sam2 import Sam2Decoder
from grounding_videoglamm.standin import numbered_tokenizer

SEG = "[SEG]"


@dataclass(frozen=True)
class Prompt:
    """Token ids around the visual tokens; ``image``: one visual slot, so a single image."""

    head: list[int]
    rest: list[int]
    image: bool


class Converted:
    """A model made from a golden checkpoint; its parts by their own types."""

    def __init__(self, model: GroundingModel) -> None:
        self.model = model

    @property
    def clip(self) -> ClipEncoder:
        """The image tower."""
        assert isinstance(self.model.image_encoder, ClipEncoder)
        return self.model.image_encoder

    @property
    def internvideo(self) -> InternVideo2Encoder:
        """The video tower."""
        assert isinstance(self.model.video_encoder, InternVideo2Encoder)
        return self.model.video_encoder

    @property
    def image_adapter(self) -> MlpPoolAdapter:
        """V→L adapter of the image tower."""
        assert isinstance(self.model.image_adapter, MlpPoolAdapter)
        return self.model.image_adapter

    @property
    def video_adapter(self) -> MlpPoolAdapter:
        """V→L adapter of the video tower."""
        assert isinstance(self.model.video_adapter, MlpPoolAdapter)
        return self.model.video_adapter

    @property
    def lm(self) -> Phi3:
        """The language model."""
        assert isinstance(self.model.language_model, Phi3)
        return self.model.language_model

    @property
    def decoder(self) -> Sam2Decoder:
        """The mask decoder."""
        assert isinstance(self.model.mask_decoder, Sam2Decoder)
        return self.model.mask_decoder

    def logits(self, states: Tensor) -> Tensor:
        """Token logits of final states."""
        found: Tensor = self.lm.network.lm_head(states)
        return found

    def prompts(self, states: Tensor) -> Tensor:
        """Mask prompts (k, p, dp) of final states (k, dl)."""
        found: Tensor = self.model.prompt_adapter(states)
        return found


class Golden:
    """Reference numbers and the models converted from their checkpoint.

    Raises:
        CheckpointError: a file is missing; names it.
    """

    def __init__(self, folder: Path) -> None:
        for name in ("config.json", "inputs.safetensors", "outputs.safetensors", "checkpoint.safetensors"):
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder} has no {name}.", "Name a folder of golden numbers.")
        self.folder = folder
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        self.inputs: dict[str, Tensor] = load_file(folder / "inputs.safetensors")
        self.outputs: dict[str, Tensor] = load_file(folder / "outputs.safetensors")
        self.image_token: int = self.config["image_token_index"]
        self.seg: int = self.config["llm_config"]["seg_token_idx"]
        self.end: int = self.config["llm_config"]["eos_token_id"]
        self.objects = sorted(
            int(found[1])
            for name in self.outputs
            if (found := re.fullmatch(r"video(\d+)obj_masks_orig", name))
        )
        readme = folder / "README.md"
        self._readme = readme.read_text(encoding="utf-8") if readme.is_file() else ""

    @cached_property
    def noise(self) -> dict[str, float]:
        """Noise of each output as the folder's README tables state it; 0 where it says "exact"."""
        outputs = self._readme.partition("## outputs")[2]
        rows = re.findall(r"^\| `([^`]+)` \| \[[^\]]*\] \| \w+ \| ([^|]+?) \|", outputs, flags=re.MULTILINE)
        return {name: float(found[0]) if (found := _numbers(text)) else 0.0 for name, text in rows}

    def first_frame_noise(self, objects: int) -> float:
        """Noise of the mask logits of frame 0, which is far below that of later frames."""
        found = re.search(
            rf"^- {objects} object\(s\): frame 0: ([\d.e+-]+)", self._readme, flags=re.MULTILINE
        )
        return float(found[1]) if found else 0.0

    @property
    def frames(self) -> Tensor:
        """The raw video, uint8 (t, H, W, 3)."""
        return self.inputs["video_frames_uint8"]

    @property
    def encoder_frames(self) -> Tensor:
        """The frames both towers see: as many as the configuration says."""
        return self.frames[sample_indices(len(self.frames), self.config["num_frames"])]

    @property
    def mask_frames(self) -> Tensor:
        """The frames SAM 2 sees, uint8 (t, H, W, 3)."""
        return self.frames[self.inputs["sam_frame_indices"]]

    def pixels(self, name: str) -> Tensor:
        """Stored pixel values of an encoder, (1, t, 3, size, size)."""
        return self.inputs[name].float()[None]

    def prompt(self, ids: Tensor) -> Prompt:
        """Split ids (s,) at the visual slots."""
        row = ids.tolist()
        first = row.index(self.image_token)
        last = len(row) - 1 - row[::-1].index(self.image_token)
        return Prompt(row[:first], row[last + 1 :], first == last)

    def models(self) -> tuple[Converted, Converted]:
        """The converted checkpoint with the tracking decoder, and with the framewise one."""
        with TemporaryDirectory() as parent:
            folder = Path(parent) / "converted"
            convert(VideoGlammConverter(), self.folder, folder)
            llm = self.config["llm_config"]
            numbered_tokenizer(
                folder, llm["vocab_size"], special={self.seg: SEG}, start=llm["bos_token_id"], end=self.end
            )
            head = self.prompt(self.inputs["prompt_input_ids"][0]).head
            words = " ".join(f"w{index}" for index in head[1:])  # the tokenizer starts a sequence itself
            overrides = [f"prompts.layout={words} {{visual}} {{question}}", "prompts.refer='{text}'"]
            overrides += ["language_model.end_tokens=[]"]
            tracking, framewise = (
                Converted(
                    build_composed(
                        plan(Recipe.load(folder / RECIPE, [*overrides, f"mask_decoder.mode={mode}"]))
                    )
                )
                for mode in ("memory", "framewise")
            )
        return tracking, framewise


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d[\d.]*(?:e[+-]?\d+)?", text)


def rows_with(ids: Tensor, token: int) -> Tensor:
    """Indices of a token in ids (s,)."""
    return (ids == token).nonzero()[:, 0]


def fine_tokens(count: int, sampled: int) -> slice:
    """Every so-manieth of ``count``, of which ``sampled`` were stored."""
    return slice(None, None, -(-count // sampled))


def pick(full: Tensor, stored: Tensor) -> Tensor:
    """``full`` sub-sampled by whole steps in its last two dimensions to the stored size."""
    steps = (-(-full.shape[-2] // stored.shape[-2]), -(-full.shape[-1] // stored.shape[-1]))
    return full[..., :: steps[0], :: steps[1]]
