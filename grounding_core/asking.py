"""Questions to a language model that has read a video, and its answers before they have masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from grounding_core.errors import QueryError
from grounding_core.interfaces.language_model import Prefix, Told
from grounding_core.markup import Marked, so_far
from grounding_core.profiling import stage
from grounding_core.types import Query

if TYPE_CHECKING:
    from grounding_core.model import GroundingModel

Turn = tuple[str, str]
"""A past question (as its template rendered it) and its answer's markup."""

Watch = Callable[[int, Marked], None]
"""Called with (query, text and spans so far) while an answer is written."""


@dataclass(frozen=True)
class Said:
    """An answer as generated, and the states (k, dl) behind its seg tokens."""

    markup: str
    states: Tensor
    truncated: bool


def say(
    model: GroundingModel,
    prefix: Prefix,
    queries: Sequence[Query],
    history: Sequence[Turn] = (),
    told: Watch | None = None,
) -> list[Said]:
    """Answer all queries together.

    Raises:
        QueryError: a question is too long for the context.
    """
    lm = model.language_model
    limit = model.plan.recipe.generation.max_new_tokens
    prompts = [lm.tokenize(model.question(query, history)) for query in queries]
    room = model.plan.context - prefix.length - limit
    for query, prompt in zip(queries, prompts, strict=True):
        if len(prompt) > room:
            raise QueryError(
                f"The question ({len(query.text)} characters, {len(prompt)} tokens with its history) is "
                f"too long: {room} tokens are left beside the video and the answer.",
                "Shorten it, or start a new conversation.",
            )
    watching = {"told": _watching(model, told)} if told is not None and lm.streams else {}
    with stage("decode tokens"):
        generation = lm.generate(prefix, prompts, max_new_tokens=limit, **watching)
    offset = 0 if model.seg.state == "predicting" else 1
    return [
        Said(
            _text(model, ids),
            state[[i + offset for i, token in enumerate(ids) if token == model.seg_id]],
            cut,
        )
        for ids, state, cut in zip(generation.ids, generation.states, generation.truncated, strict=True)
    ]


def _watching(model: GroundingModel, told: Watch) -> Told:
    """Tokens as they come -> the text so far, read as markup."""
    heard: dict[int, list[int]] = {}

    def hear(row: int, token: int) -> None:
        ids = heard.setdefault(row, [])
        ids.append(token)
        told(row, so_far(_text(model, ids), seg=model.seg.token))

    return hear


def _text(model: GroundingModel, ids: Sequence[int]) -> str:
    """Text of an answer in which the seg token appears exactly where its id was generated."""
    token = model.seg.token
    pieces: list[list[int]] = [[]]
    for index in ids:
        if index == model.seg_id:
            pieces.append([])
        else:
            pieces[-1].append(index)
    return token.join(model.language_model.detokenize(piece).replace(token, "") for piece in pieces).strip()
