"""Conformance of whole models, composed or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from grounding_core.compose import build
from grounding_core.config import Recipe
from grounding_core.hookspecs import Kind
from grounding_core.interfaces.grounder import Grounder
from grounding_core.testing.away import away
from grounding_core.testing.component import EntryConformance
from grounding_core.testing.mask_decoder import video
from grounding_core.types import GroundedText, Query

QUERIES: Sequence[Query] = (
    Query("the cat"),
    Query("what moves to the left?", "ask"),
    Query("the cat moves left", "locate"),
)


class GrounderConformance(EntryConformance):
    """A model behind the interface `grounding_core.interfaces.grounder.Grounder`.

    A composed model is tested by overriding `recipe` (and `make_options`, if it needs files).
    """

    kind: ClassVar[Kind] = "model"
    queries: ClassVar[Sequence[Query]] = QUERIES

    @classmethod
    def recipe(cls, config: Any) -> Recipe:
        """What to build."""
        options = config.model_dump(mode="json")
        return Recipe.parse({"name": cls.name, "model": {"type": cls.name, **options}})

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, config: Any) -> Grounder:
        """The model."""
        return cls.on("cpu", config)

    @classmethod
    def on(cls, device: str, config: Any) -> Grounder:
        """The model on a device, with the same weights each time."""
        torch.manual_seed(0)
        return build(cls.recipe(config), device=device)

    def same(self, a: GroundedText, b: GroundedText) -> bool:
        """Two answers that can't be told apart."""
        return (a.text, a.spans, a.tracks) == (b.text, b.spans, b.tracks)

    def test_is_a_grounder(self, model: Grounder) -> None:
        assert isinstance(model, Grounder)

    @pytest.mark.parametrize("shape", [(1, 40, 56), (3, 16, 16), (5, 33, 91)])
    def test_one_mask_a_frame_at_the_videos_own_size(
        self, model: Grounder, shape: tuple[int, int, int]
    ) -> None:
        answers = model.ground(model.encode(video(*shape)), self.queries)
        assert len(answers) == len(self.queries)
        for answer in answers:
            for track in answer.tracks:
                assert (len(track), tuple(track.size)) == (shape[0], shape[1:])

    def test_questions_asked_together_get_the_answers_they_get_alone(self, model: Grounder) -> None:
        context = model.encode(video(4))
        together = model.ground(context, self.queries)
        for query, answer in zip(self.queries, together, strict=True):
            (alone,) = model.ground(context, [query])
            assert self.same(alone, answer)

    def test_a_video_read_again_gives_the_same(self, model: Grounder) -> None:
        first, again = (model.ground(model.encode(video(4)), self.queries) for _ in range(2))
        assert all(self.same(a, b) for a, b in zip(first, again, strict=True))

    def test_computes_where_it_is_put(self, model: Grounder, config: Any) -> None:
        """As it must on a GPU; see `grounding_core.testing.away.away`, which needs none."""
        expected = model.ground(model.encode(video(4)), self.queries)
        with away() as device:
            there = self.on(str(device), config)
            found = there.ground(there.encode(video(4)), self.queries)
        # Kernels may differ in a last bit, and so masks in single pixels.
        for one, other in zip(expected, found, strict=True):
            assert (one.text, one.spans) == (other.text, other.spans)
            for a, b in zip(one.tracks, other.tracks, strict=True):
                assert np.mean(a.masks() != b.masks()) < 0.01

    def test_no_questions_no_answers(self, model: Grounder) -> None:
        assert list(model.ground(model.encode(video(2)), [])) == []

    def test_fingerprint_can_be_kept(self, model: Grounder) -> None:
        found = model.fingerprint()
        assert found and all(isinstance(value, str) for value in found.values())
        assert json.loads(json.dumps(found)) == model.fingerprint()
