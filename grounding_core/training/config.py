"""How a recipe is trained: the ``training`` section of its YAML. No torch here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LossWeights(BaseModel):
    """Weights of the losses; the defaults are VideoGLaMM's published ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    text: float = Field(default=1.0, ge=0, description="Cross-entropy of the answer's tokens.")
    bce: float = Field(default=2.0, ge=0, description="Binary cross-entropy of the masks, mean over pixels.")
    dice: float = Field(default=0.5, ge=0, description="Dice loss of the masks.")
    visible: float = Field(
        default=0.0, ge=0, description="Binary cross-entropy of the object score: is the object in the frame?"
    )


class TrainConfig(BaseModel):
    """Everything that shapes a training run."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    steps: int = Field(default=1000, ge=1, description="Optimiser steps.")
    videos: int = Field(default=4, ge=1, description="Videos a step and process.")
    queries: int = Field(
        default=8, ge=1, description="Most questions asked about a video in a step; they share its encoding."
    )
    mask_frames: int = Field(default=4, ge=1, description="Frames a video the mask losses look at.")
    blind_steps: int = Field(
        default=0,
        ge=0,
        description="Steps from the first on in which the language model does not see the video: the mask "
        "decoder learns to obey words, at half the cost. For training from scratch.",
    )
    kinds: tuple[str, ...] | None = Field(
        default=None, description="Beside captions, only samples whose tag `kind` is among these; null: all."
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
    freeze: tuple[str, ...] = Field(default=(), description="Roles that are not trained, e.g. image_encoder.")
    precision: str = Field(
        default="no", pattern="^(no|bf16|fp16)$", description="Mixed precision of accelerate."
    )
    workers: int = Field(default=0, ge=0, description="Processes that decode videos.")
    seed: int = Field(
        default=0, description="Order of data, choice of frames and questions, initial weights."
    )
    save_every: int = Field(default=500, ge=1, description="Steps between resumable checkpoints.")
    validate_every: int = Field(default=500, ge=1, description="Steps between validations.")
    validate_videos: int = Field(default=16, ge=1, description="Videos looked at in a validation.")
    max_failures: float = Field(
        default=0.01, ge=0, le=1, description="Share of videos that may fail to decode before the run stops."
    )
    tokenizer_vocabulary: int | None = Field(
        default=None,
        ge=300,
        description="Train a byte-level BPE tokenizer of this size on the texts; null: the recipe's.",
    )
