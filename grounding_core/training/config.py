"""How a recipe is trained: the ``training`` section of its YAML. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LossWeights(_Strict):
    """Weights of the losses; the defaults are VideoGLaMM's published ones."""

    text: float = Field(default=1.0, ge=0, description="Cross-entropy of the answer's tokens.")
    bce: float = Field(default=2.0, ge=0, description="Binary cross-entropy of the masks, mean over pixels.")
    dice: float = Field(default=0.5, ge=0, description="Dice loss of the masks.")
    visible: float = Field(
        default=0.0, ge=0, description="Binary cross-entropy of the object score: is the object in the frame?"
    )
    prompt: float = Field(
        default=0.0,
        ge=0,
        description="Squared distance of a mask prompt from what an earlier stage's word prompts make of the "
        "object's phrase; for training from nothing.",
    )

    @property
    def masks(self) -> bool:
        """Whether any loss looks at masks."""
        return self.bce > 0 or self.dice > 0 or self.visible > 0


class Lora(_Strict):
    """Low-rank adapters in the language model (peft); the defaults are VideoGLaMM's published ones."""

    rank: int = Field(default=8, ge=1, description="Rank of the adapters.")
    alpha: float = Field(default=16, gt=0, description="Scale: what an adapter adds is times alpha / rank.")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="Dropout before an adapter.")
    targets: tuple[str, ...] = Field(
        default=("qkv_proj",), description="Last parts of the names of the linear layers that get one."
    )
    embeddings: bool = Field(
        default=True, description="Also train the token embeddings and the output head themselves."
    )


class TrainConfig(_Strict):
    """Everything that shapes a training run, or one of its stages."""

    name: str = Field(default="training", pattern=r"^[\w-]+$", description="What the stage is called.")
    objective: Literal["answers", "blind", "words", "aligned", "prompts"] = Field(
        default="answers",
        description="`answers`: text and masks. `blind`: the same, but the language model does not see the "
        "video, so that the mask decoder learns to obey words at half the cost. `words`: encoders and mask "
        "decoder name what is at each place of captioned videos. `aligned`: adapters give tokens that look "
        "like the language model's embeddings of these words. `prompts`: the mask decoder obeys words, "
        "without a language model. The last four are for training from nothing.",
    )
    steps: int = Field(default=1000, ge=1, description="Optimiser steps.")
    videos: int = Field(default=4, ge=1, description="Videos a step and process.")
    queries: int = Field(
        default=8, ge=1, description="Most questions asked about a video in a step; they share its encoding."
    )
    lookups: int = Field(
        default=0,
        ge=0,
        description="Texts a video, beside questions, that say what tells each captioned object from the "
        "others, word by word in random order: they teach to find one word by another in the video.",
    )
    mask_frames: int = Field(default=4, ge=1, description="Frames a video the mask losses look at.")
    mixture: Mapping[str, Share] | None = Field(
        default=None,
        min_length=1,
        description="Data set -> its share of the videos drawn; one that is left out is not used. "
        "null: all, by size.",
    )
    tasks: tuple[str, ...] | None = Field(
        default=None, description="Only samples of these tasks, e.g. [gcg]; null: all."
    )
    kinds: tuple[str, ...] | None = Field(
        default=None, description="Beside captions, only samples whose tag `kind` is among these; null: all."
    )
    audit: str | None = Field(
        default=None,
        description="File of scores that `grounding data audit` wrote; what scores too high is left out.",
    )
    max_audit: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Samples whose audit score is not below this are left out.",
    )
    freeze: tuple[str, ...] = Field(
        default=(),
        description="What is not trained: roles, e.g. image_encoder, or modules below them by dotted name.",
    )
    lora: Lora | None = Field(
        default=None, description="Train the language model through low-rank adapters; null: all of it."
    )
    accumulate: int = Field(default=1, ge=1, description="Steps whose gradients are added before an update.")
    lr: float = Field(default=3e-4, gt=0, description="Peak learning rate.")
    betas: tuple[float, float] = Field(default=(0.9, 0.95), description="AdamW's betas.")
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's weight decay, on matrices only.")
    warmup: int = Field(default=100, ge=0, description="Steps of linear warm-up.")
    decay: int | None = Field(
        default=None, ge=0, description="Steps of linear decay to 0 at the end; null: from the warm-up on."
    )
    clip: float = Field(default=1.0, gt=0, description="Largest gradient norm.")
    losses: LossWeights = Field(default=LossWeights(), description="Weights of the losses.")
    precision: Literal["no", "bf16", "fp16"] = Field(
        default="no", description="Mixed precision of accelerate; the same for all stages."
    )
    recompute: bool = Field(
        default=False,
        description="Keep no activations of encoders and language model for the backward pass, which "
        "computes them again: slower, in less memory.",
    )
    keep_visual: bool = Field(
        default=False,
        description="Encode each video once, as the stage begins, and keep its visual tokens in the stage's "
        "folder until it ends (2 bytes x tokens x width a video). Encoders and adapters must be frozen.",
    )
    workers: int = Field(default=0, ge=0, description="Processes that decode videos.")
    seed: int = Field(
        default=0, description="Order of data, choice of frames and questions, initial weights."
    )
    save_every: int = Field(default=500, ge=1, description="Steps between resumable checkpoints.")
    validate_every: int = Field(default=500, ge=1, description="Steps between validations.")
    validate_videos: int = Field(default=16, ge=1, description="Videos looked at in a validation.")
    max_failures: float = Field(
        default=0.01, ge=0, lt=1, description="Share of videos that may fail to decode before the run stops."
    )
    trackers: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = Field(
        default=(), description="Where losses are shown beside metrics.jsonl; the package must be installed."
    )
    tokenizer_vocabulary: int | None = Field(
        default=None,
        ge=300,
        description="Train a byte-level BPE tokenizer of this size on the texts; null: the recipe's.",
    )
    stages: tuple[Mapping[str, Any], ...] = Field(
        default=(),
        description="Stages one after the other, each from the weights of the one before: a name, and the "
        "options that differ from those above.",
    )

    @model_validator(mode="after")
    def _check_stages(self) -> TrainConfig:
        names = [stage.name for stage in self.staged()] if self.stages else []
        if len(set(names)) < len(names) or "training" in names:
            raise ValueError(f"each stage needs a name of its own; these are {', '.join(names)}")
        if len({stage.precision for stage in self.staged()}) > 1:
            raise ValueError("precision is the same for all stages; set it beside them")
        return self

    @model_validator(mode="after")
    def _check_keep_visual(self) -> TrainConfig:
        if self.keep_visual and self.objective != "answers":
            raise ValueError(f"keep_visual is for the objective answers; this is {self.objective}")
        return self

    def staged(self) -> list[TrainConfig]:
        """The stages with all their options; one, where the recipe names none."""
        base = self.model_dump(exclude={"stages"})
        return [TrainConfig.model_validate(_over(base, stage)) for stage in self.stages] or [self]


def _over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``own`` over ``base``; sections that both have are merged."""
    merged = dict(base)
    for key, value in own.items():
        old = base.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping) and key != "mixture"
        merged[key] = {**old, **value} if both else value  # type: ignore[dict-item]
    return merged
