"""Language models that read visual tokens, answer, and show the states behind each token."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from grounding_core.errors import GroundingError
from grounding_core.interfaces.component import Configured
from grounding_core.interfaces.specs import LanguageSpec

Segment = Tensor | Sequence[int]
"""Part of a prefix: embeddings (b, m, dl), or token ids shared by all b rows."""

Norm = Literal["before", "after"]


@dataclass(frozen=True)
class Prefix:
    """What has been read: b rows of equal length, kept as the model's own key-value cache."""

    cache: Any
    length: int
    rows: int


@dataclass(frozen=True)
class Generation:
    """Answers to n prompts.

    Attributes:
        ids: n lists of generated token ids, the end token not included.
        states: n tensors (g + 1, dl): ``states[i]`` predicts ``ids[i]``, ``states[i + 1]`` follows it.
        truncated: n flags: the answer reached the token limit before an end token.
    """

    ids: list[list[int]]
    states: list[Tensor]
    truncated: list[bool]


Told = Callable[[int, int], None]
"""Called with (prompt, token id) as soon as a token of an answer is known."""


class LanguageModel(nn.Module, Configured):
    """Construct with ``(config, *, special_tokens: Sequence[str], norm: Norm)``.

    ``special_tokens`` become single tokens of the vocabulary; ``norm`` says whether ``states`` are
    taken before or after the final norm (a fact of the checkpoint, from its recipe).

    Class attributes:
        streams: whether ``generate`` also takes ``told: Told | None``, so that answers can be watched.
    """

    streams: ClassVar[bool] = False

    def __init__(self, config: Any, *, special_tokens: Sequence[str], norm: Norm) -> None:
        super().__init__()

    @classmethod
    @abstractmethod
    def spec(cls, config: Any) -> LanguageSpec:
        """Shapes, without loading weights."""

    @classmethod
    def outline(cls, config: Any, *, special_tokens: Sequence[str], norm: Norm) -> nn.Module:
        """A module with the model's parameters, to be counted; called on PyTorch's meta device.

        Override it where the constructor reads a tokenizer, which counting can do without. Rows that special
        tokens add to the vocabulary may be missing.
        """
        return cls(config, special_tokens=special_tokens, norm=norm)

    @abstractmethod
    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without start or end tokens."""

    @abstractmethod
    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens included as text."""

    @abstractmethod
    def token_id(self, token: str) -> int:
        """Id of one special token."""

    @property
    @abstractmethod
    def start_ids(self) -> list[int]:
        """Ids that begin every sequence (a start token, or none)."""

    @property
    @abstractmethod
    def end_id(self) -> int:
        """Id that ends an answer."""

    def embeddings(self) -> Tensor:
        """Input embeddings (vocabulary, dl) of the tokens, for teaching adapters what words look like.

        Raises:
            NotImplementedError: this model has no such table.
        """
        raise NotImplementedError

    def recompute(self) -> None:
        """From now on keep no activations inside layers for the backward pass, which computes them again.

        A model that keeps few of them has nothing to do.
        """

    def spread_weights(self) -> None:
        """From now on weights are spread over processes in training.

        A layer has its own whole while it runs, and again once its output gets a gradient (FSDP, ZeRO-3).
        A model whose layers leave anything else behind, such as a cache, has to see that it gets one first.
        """

    def use_cuda_graphs(self) -> None:
        """From now on record the step that makes a token as a CUDA graph; elsewhere only fix its shapes.

        Raises:
            GroundingError: this model can't.
        """
        raise GroundingError(
            f"generation.cuda_graphs: {type(self).__name__} has no steps to record.", "Leave it out."
        )

    @abstractmethod
    def prefix(self, segments: Sequence[Segment]) -> Prefix:
        """Read segments one after the other, once."""

    @abstractmethod
    def generate(
        self, prefix: Prefix, prompts: Sequence[Sequence[int]], *, max_new_tokens: int
    ) -> Generation:
        """Answer n prompts after a prefix of one row, greedily, decoded together."""

    @abstractmethod
    def teach(self, prefix: Prefix, rows: Tensor, ids: Tensor, learned: Tensor) -> tuple[Tensor, Tensor]:
        """Read given answers, for training.

        Args:
            prefix: b rows.
            rows: (n,) the prefix row each sequence follows.
            ids: (n, s) right-padded token ids.
            learned: (n, s) True on the w tokens to predict; never on the first.

        Returns:
            logits (w, vocabulary) that predict ``ids[learned]``, and states (n, s, dl), where position i
            predicts ids[:, i + 1].
        """
