"""What a published Sa2VA folder says of itself: sizes in its config.json, names of its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from grounding_videoglamm.keys import DECODER, sam2_rules
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grounding_core.config import validation_problems
from grounding_core.errors import CheckpointError
from grounding_core.interfaces.converter import rename
from grounding_core.tensors import read_json

SAM2 = "grounding_encoder.sam2_model."
ADAPTER = "text_hidden_fcs.0.weight"
NEEDED = ("*.json", "*.safetensors", "*.txt", "*.model")
ARCHITECTURE = "Sa2VAChatModel"
FUSER = "memory_encoder.fuser.layers.{n}.g_weight", "memory_encoder.memory_fuser.layers.{n}.scale"

DECODER_RULES = (
    rename("text_hidden_fcs.{n}.{x}", "prompt_adapter.project.{n}.{x}"),
    rename(SAM2 + FUSER[0], DECODER + FUSER[1]),
    *sam2_rules(SAM2),
)
RULES = (
    rename("vision_model.{x}", "vision_model.{x}"),
    rename("mlp1.{x}", "mlp1.{x}"),
    rename("language_model.{x}", "language_model.network.{x}"),
    *DECODER_RULES,
)
"""Where each published weight goes in `grounding_sa2va.model.Sa2va`."""


class Vision(BaseModel):
    """Sizes of InternViT, as config.json writes them; the defaults are those of its authors."""

    model_config = ConfigDict(frozen=True)
    hidden_size: int = Field(default=3200, ge=1)
    intermediate_size: int = Field(default=12800, ge=1)
    num_hidden_layers: int = Field(default=48, ge=1)
    num_attention_heads: int = Field(default=25, ge=1)
    image_size: int = Field(default=224, ge=1)
    patch_size: int = Field(default=14, ge=1)
    qkv_bias: bool = False
    qk_normalization: bool = True
    norm_type: Literal["rms_norm", "layer_norm"] = "rms_norm"
    layer_norm_eps: float = 1e-6
    hidden_act: str = "gelu"


class Layout(BaseModel):
    """A published config.json, as far as it matters here.

    The published code has SAM 2's sizes in itself; a section ``sam2`` in the manner of SAM 2's own
    configuration stands for others.
    """

    model_config = ConfigDict(frozen=True)
    architectures: list[str] = Field(min_length=1)
    vision_config: Vision
    llm_config: dict[str, Any]
    template: str
    downsample_ratio: float = Field(default=0.5, gt=0, le=1)
    ps_version: Literal["v1", "v2"] = "v1"
    select_layer: int = Field(default=-1, lt=0)
    force_image_size: int | None = None
    sam2: dict[str, Any] = {}

    @property
    def image_size(self) -> int:
        """Side in pixels of what the vision tower sees."""
        return self.force_image_size or self.vision_config.image_size

    @classmethod
    def read(cls, folder: Path) -> Layout:
        """The layout of a folder.

        Raises:
            CheckpointError: it is no Sa2VA on InternVL, or says something impossible.
        """
        file = folder / "config.json"
        found = read_json(file)
        kinds = found.get("architectures") or ["nothing"]
        if ARCHITECTURE not in kinds:
            raise CheckpointError(
                f"{file} is of {kinds[0]}; {ARCHITECTURE} is read here.",
                "Choose a Sa2VA on InternVL, such as ByteDance/Sa2VA-4B or ByteDance/Sa2VA-InternVL3-2B.",
            )
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            problems = "; ".join(f"{path} {text}" for path, text in validation_problems(error))
            raise CheckpointError(f"{file}: {problems}.", "Fetch it again.") from error


def folder_of(source: str) -> Path:
    """A local folder: ``source`` itself, or the hub's files under that id, fetched once.

    Raises:
        CheckpointError: there is neither.
    """
    folder = Path(source).expanduser()
    if (folder / "config.json").is_file():
        return folder
    remedy = "Give a folder with config.json, or a hub id that this machine can reach or has cached."
    if folder.is_dir() or folder.is_absolute():
        raise CheckpointError(f"Sa2VA's weights: {source} has no config.json.", remedy)
    try:
        return Path(snapshot_download(source, allow_patterns=list(NEEDED)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"Sa2VA's weights {source!r} can't be fetched: {reason}", remedy) from error
