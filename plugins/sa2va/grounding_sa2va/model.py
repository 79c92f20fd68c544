"""Sa2VA (arXiv 2501.04001) as it is published: InternVL whose ``[SEG]`` states prompt SAM 2."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from grounding_videoglamm.adapters import MlpPromptAdapter
from grounding_videoglamm.convert import sam2_options
from grounding_videoglamm.sam2 import Sam2Decoder
from PIL import Image
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from grounding_core.checkpoint import digest
from grounding_core.compose import Plan
from grounding_core.config import Recipe
from grounding_core.conversion import read_into
from grounding_core.errors import GroundingError
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.interfaces.language_model import Prefix
from grounding_core.model import GroundingModel, Turn
from grounding_core.pixels import normalise, resize_pil
from grounding_core.precision import empty_parameters, filled_later, set_precision
from grounding_core.scene import Scene
from grounding_core.types import Query
from grounding_sa2va.decoder_side import DECODING
from grounding_sa2va.frames import MEAN, STD, First, for_vision, tiles
from grounding_sa2va.internvit import InternVit, fold, projector
from grounding_sa2va.language import BETWEEN, SEG, Language, layout_of
from grounding_sa2va.layout import RULES, Layout, folder_of


class Sa2vaConfig(ComponentConfig):
    """Where the weights are, and how to ask. The defaults are those of the published evaluation."""

    weights: str = Field(description="Hub id or folder of a published Sa2VA on InternVL.")
    number_type: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="Number type of the weights; bf16 is what they are published in."
    )
    frames: int = Field(
        default=5, ge=1, description="So many first frames are seen by the language model and prompt SAM 2."
    )
    max_tiles: int = Field(
        default=12, ge=1, description="An image is cut into at most so many tiles for the vision tower."
    )
    describe: str = Field(
        default="Could you please give me a brief description of the video? Please respond with interleaved "
        "segmentation masks for the corresponding parts of the answer.",
        description="Question for kind `describe`.",
    )
    refer: str = Field(default="Please segment {text}.", description="Question for kind `refer`.")
    ask: str = Field(
        default=" {text} Please respond with a segmentation mask.",
        description="Question for kinds `ask` and `locate`, and for a `refer` that holds a question mark.",
    )
    max_new_tokens: int = Field(default=2048, ge=1, description="Longest answer in tokens.")
    batch: int = Field(default=8, ge=1, description="Frames whose SAM 2 features are computed together.")
    budget_mb: int = Field(default=2048, ge=0, description="SAM 2 features kept for further questions.")


class Sa2vaDecoder(Sam2Decoder):
    """SAM 2 with the published code's way of preparing frames and of enlarging masks."""

    def pixels(self, frames: Tensor, dtype: torch.dtype) -> Tensor:
        square = resize_pil(frames, (self.size, self.size), Image.Resampling.BICUBIC)
        return normalise(square, MEAN, STD, dtype)

    def at_frame_size(self, scene: Scene[Any], logits: Tensor) -> Tensor:
        size = (self.size, self.size)
        return super().at_frame_size(
            scene, F.interpolate(logits[None].float(), size, mode="bilinear", align_corners=False)[0]
        )


class Sa2va(GroundingModel):
    """A `grounding_core.interfaces.grounder.Grounder` from the published folder as it is.

    The first frames are seen by the language model, each between image marks of its own, and prompted in
    SAM 2, which tracks through the rest. A single image is cut into tiles.
    """

    Config = Sa2vaConfig

    def __init__(self, config: Sa2vaConfig) -> None:
        self.config = config
        self.folder = folder_of(config.weights)
        layout = self.layout = Layout.read(self.folder)
        spec, to_fill = Language.spec(layout), not filled_later()
        with empty_parameters():
            language = Language(layout, self.folder)
            decoder = Sa2vaDecoder(_decoder_config(config, layout))
            adapter = MlpPromptAdapter(
                MlpPromptAdapter.Config(), width=spec.width, target=Sa2vaDecoder.spec(decoder.config)
            )
            vision = InternVit(layout.vision_config, layer=layout.select_layer)
            projection = projector(layout, spec.width)
        planned = Plan(_recipe(config, layout), specs={"language_model": spec}, context=spec.context)
        super().__init__(
            planned, {"language_model": language, "prompt_adapter": adapter, "mask_decoder": decoder}
        )
        self.select_with(First(None))
        self.vision_model, self.mlp1 = vision, projection
        set_precision(self, config.number_type, config.number_type)
        if to_fill:
            read_into(self, RULES, self.folder)
        self.eval()

    def read(self, clips: Sequence[Tensor], *, single_image: bool = False) -> tuple[Prefix, Tensor]:
        if not clips:
            return super().read(clips)
        marked = self._tiled(clips[0][0]) if single_image else self._framed(clips)
        lm = self.language_model
        between = lm.tokenize(BETWEEN)
        segments: list[Tensor | list[int]] = [[*lm.start_ids, *lm.tokenize(self._head)]]
        for place, tokens in enumerate(marked):
            segments += [between, tokens] if place else [tokens]
        return lm.prefix(segments), torch.cat(marked, dim=1)

    def _framed(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """Tokens (b, m, dl) of each frame of b clips."""
        tokens = self._tokens(torch.cat(list(clips))).unflatten(0, (len(clips), -1))
        return list(tokens.unbind(1))

    def _tiled(self, image: Tensor) -> list[Tensor]:
        """Tokens (1, m, dl) of an image's tiles, one behind the other."""
        cut = tiles(image, self.layout.image_size, self.config.max_tiles)
        return [self._tokens(cut).flatten(0, 1)[None]]

    def _tokens(self, frames: Tensor) -> Tensor:
        """Tokens (t, m, dl) of uint8 frames (t, H, W, 3)."""
        weight = self.vision_model.embeddings.class_embedding
        pixels = for_vision(frames.to(weight.device), self.layout.image_size, weight.dtype)
        tokens: Tensor = self.mlp1(fold(self.vision_model(pixels), self.layout))
        return tokens

    @property
    def _head(self) -> str:
        return self.prompts.layout.partition("{visual}")[0]

    def question(self, query: Query, history: Sequence[Turn] = ()) -> str:
        if query.kind == "refer" and "?" in query.text:
            query = Query(query.text, "ask")
        return super().question(query, history)

    def save_pretrained(self, folder: str | Path, **_: Any) -> Path:
        """Not for this model.

        Raises:
            GroundingError: always; its folder is what there is to share.
        """
        raise GroundingError(
            f"Sa2VA is read from its published folder, so it can't be written to {folder}.",
            f"Copy {self.folder}.",
        )

    def fingerprint(self) -> dict[str, str]:
        facts = super().fingerprint() | {
            "options": self.config.model_dump_json(exclude={"weights", "batch", "budget_mb"}),
            "grounding-sa2va": version("grounding-sa2va"),
        }
        local = Path(self.config.weights).expanduser().is_dir()
        return facts | {"weights": digest(self.folder) if local else self.config.weights}


def _decoder_config(config: Sa2vaConfig, layout: Layout) -> Any:
    """SAM 2 as the published code sets it up."""
    sizes = sam2_options({"sam2": layout.sam2})
    return Sa2vaDecoder.Config(
        **{**DECODING, **sizes, "prompted_frames": config.frames},
        batch=config.batch,
        budget_mb=config.budget_mb,
    )


def _recipe(config: Sa2vaConfig, layout: Layout) -> Recipe:
    """The facts that a recipe of parts would hold."""
    prompts = layout_of(layout) | {"describe": config.describe, "refer": config.refer}
    return Recipe.parse(
        {
            "name": "sa2va",
            "sampling": {"frames": config.frames},
            "seg": {"token": SEG, "state": "consuming", "norm": "after"},
            "prompts": {**prompts, "ask": config.ask, "locate": config.ask, "answer": f"Sure, {SEG}."},
            "generation": {"max_new_tokens": config.max_new_tokens},
        }
    )
