"""What a stage of training minimises."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset

from grounding_core.interfaces.dataset import Sample
from grounding_core.model import GroundingModel
from grounding_core.training.config import TrainConfig


class Objective(nn.Module):
    """A model together with how it is taught; its parameters are the model's and its own.

    Attributes:
        model: what is trained.
        config: of the stage.
        items: training items by position; a video that can't be used is a line that says why. Every item
            has an ``id``.
    """

    items: TorchDataset[Any]

    def __init__(
        self,
        model: GroundingModel,
        config: TrainConfig,
        groups: Sequence[Sequence[Sample]],
        initial: str | None = None,
    ) -> None:
        """Args:
        model: see above.
        config: of the stage.
        groups: training samples by video.
        initial: the checkpoint folder whose weights the model has, if any.
        """
        super().__init__()
        self.model, self.config = model, config
        self.prepare(groups, initial)

    @abstractmethod
    def prepare(self, groups: Sequence[Sequence[Sample]], initial: str | None) -> None:
        """Make ``items`` and parameters of its own."""

    def begin(self, accelerator: Accelerator, out: Path, console: Console) -> None:
        """What a stage does once, on all processes, before its first step; ``out`` is its folder.

        Weights are still whole, and on the CPU.
        """

    def end(self) -> None:
        """What the main process does after its last step."""

    def keep(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Write what later stages need of this one, beside its checkpoint.

        ``weights`` are the objective's own and its model's by name, whole: in training its parameters may be
        spread over processes.
        """

    @abstractmethod
    def collate(self, items: Sequence[Any]) -> Any:
        """A batch for `forward`."""

    def ways(self, items: Sequence[Any]) -> frozenset[str]:
        """What of these is read in calls of its own; processes that share weights must all make the same."""
        return frozenset()

    @abstractmethod
    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Weighted losses by name, and their sum ``total``."""
