"""Conformance of language models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from grounding_core.decoding import FixedSteps
from grounding_core.errors import GroundingError
from grounding_core.hookspecs import Kind
from grounding_core.interfaces.language_model import Generation, LanguageModel, Norm, Prefix
from grounding_core.interfaces.specs import LanguageSpec
from grounding_core.testing.adapters import noise
from grounding_core.testing.away import Recording, away
from grounding_core.testing.component import ComponentConformance, device_of

SEG = "[SEG]"
VISUAL_TOKENS = 5
LONGEST = 6


class LanguageModelConformance(ComponentConformance):
    """A `grounding_core.interfaces.language_model.LanguageModel`.

    Class attributes:
        texts: words that the tokenizer gives back as they were; the second is longer.
    """

    kind: ClassVar[Kind] = "language_model"
    role = LanguageModel
    texts: ClassVar[tuple[str, str]] = ("the cat", "what moves to the left of the cat")

    @classmethod
    def construct(cls, config: Any) -> nn.Module:
        return cls.with_norm(config, "after")

    @classmethod
    def with_norm(cls, config: Any, norm: Norm) -> LanguageModel:
        """The model of a recipe whose states are taken before or after the final norm."""
        component: type[LanguageModel] = cls.component()
        return component(config, special_tokens=(SEG,), norm=norm)

    @classmethod
    def outline(cls, config: Any) -> nn.Module:
        component: type[LanguageModel] = cls.component()
        return component.outline(config, special_tokens=(SEG,), norm="after")

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, config: Any) -> LanguageSpec:
        """What the model says of itself."""
        component: type[LanguageModel] = cls.component()
        return component.spec(config)

    @pytest.fixture(scope="class")
    @classmethod
    def visual(cls, spec: LanguageSpec) -> Tensor:
        """Visual tokens (2, m, dl) of two videos."""
        return noise(2, VISUAL_TOKENS, spec.width)

    def read(self, lm: LanguageModel, visual: Tensor) -> Prefix:
        """Text and visual tokens (b, m, dl), read once."""
        return lm.prefix([[*lm.start_ids, *lm.tokenize(self.texts[0])], visual])

    def answer(self, lm: LanguageModel, prefix: Prefix, *texts: str, longest: int = LONGEST) -> Generation:
        """Greedy answers."""
        return lm.generate(prefix, [lm.tokenize(text) for text in texts], max_new_tokens=longest)

    def taught(self, lm: LanguageModel, prefix: Prefix, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and states of a text that ends in the seg token, one sequence a row."""
        ids = torch.tensor([[*lm.tokenize(self.texts[1]), lm.token_id(SEG)]]).expand(len(rows), -1)
        learned = torch.ones_like(ids, dtype=torch.bool)
        learned[:, 0] = False
        return lm.teach(prefix, *(value.to(device_of(lm)) for value in (rows, ids, learned)))

    def train_outputs(self, part: nn.Module, config: Any) -> Sequence[Tensor]:
        assert isinstance(part, LanguageModel)
        visual = noise(1, VISUAL_TOKENS, part.spec(config).width).to(device_of(part))
        return self.taught(part, self.read(part, visual), torch.tensor([0]))

    def answer_outputs(self, part: nn.Module, config: Any) -> Sequence[Tensor]:
        assert isinstance(part, LanguageModel)
        visual = noise(1, VISUAL_TOKENS, part.spec(config).width).to(device_of(part))
        return self.answer(part, self.read(part, visual), *self.texts).states

    # ---- words -----------------------------------------------------------------------------------

    def test_text_comes_back(self, part: LanguageModel) -> None:
        for text in self.texts:
            assert part.detokenize(part.tokenize(text)).strip() == text

    def test_special_token_is_one_token(self, part: LanguageModel) -> None:
        seg = part.token_id(SEG)
        assert part.tokenize(SEG) == [seg]
        assert part.detokenize([seg]).strip() == SEG
        assert seg not in (part.end_id, *part.start_ids)
        with pytest.raises(GroundingError, match="NO_SUCH_TOKEN"):
            part.token_id("[NO_SUCH_TOKEN]")

    # ---- answers ---------------------------------------------------------------------------------

    def test_prefix_counts_what_was_read(self, part: LanguageModel, visual: Tensor) -> None:
        with torch.no_grad():
            prefix = self.read(part, visual)
        text = len(part.start_ids) + len(part.tokenize(self.texts[0]))
        assert (prefix.length, prefix.rows) == (text + VISUAL_TOKENS, 2)

    def test_spec_is_what_comes_out(self, part: LanguageModel, spec: LanguageSpec, visual: Tensor) -> None:
        with torch.no_grad():
            answers = self.answer(part, self.read(part, visual[:1]), *self.texts)
        assert spec.context > VISUAL_TOKENS + LONGEST
        assert len(answers.ids) == len(answers.states) == len(answers.truncated) == 2
        for ids, states, cut in zip(answers.ids, answers.states, answers.truncated, strict=True):
            assert states.shape == (len(ids) + 1, spec.width)
            assert states.isfinite().all()
            assert cut == (len(ids) == LONGEST)
            assert part.end_id not in ids

    def test_no_questions_no_answers(self, part: LanguageModel, visual: Tensor) -> None:
        with torch.no_grad():
            answers = self.answer(part, self.read(part, visual[:1]))
        assert (answers.ids, answers.states, answers.truncated) == ([], [], [])

    def test_answers_are_those_given_alone(self, part: LanguageModel, visual: Tensor) -> None:
        with torch.no_grad():
            prefix = self.read(part, visual[:1])
            together = self.answer(part, prefix, *self.texts)
            for index, text in enumerate(self.texts):
                alone = self.answer(part, prefix, text)
                assert alone.ids[0] == together.ids[index]
                self.close(alone.states[0], together.states[index])

    def test_steps_of_fixed_shapes_give_the_same_answers(self, config: Any, visual: Tensor) -> None:
        """`grounding_core.interfaces.language_model.LanguageModel.use_cuda_graphs`."""
        torch.manual_seed(0)
        lm = self.with_norm(config, "before").eval()
        with torch.no_grad():
            growing = self.answer(lm, self.read(lm, visual[:1]), *self.texts)
            _use_cuda_graphs(lm)
            fixed = self.answer(lm, self.read(lm, visual[:1]), *self.texts)
        assert growing.ids == fixed.ids
        for one, other in zip(growing.states, fixed.states, strict=True):
            self.close(one, other)

    def test_steps_of_fixed_shapes_can_be_recorded(
        self, config: Any, visual: Tensor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A step waits for no number and sends none: a GPU can record it."""
        lm = self.make(config)
        assert isinstance(lm, LanguageModel)
        _use_cuda_graphs(lm)
        steps = 0

        def recorded(self: FixedSteps) -> None:
            nonlocal steps
            steps += 1
            with Recording():
                compute(self)

        compute = FixedSteps._compute
        monkeypatch.setattr(FixedSteps, "_compute", recorded)
        with away() as device, torch.no_grad():
            lm.to(device)
            self.answer(lm, self.read(lm, visual[:1].to(device)), *self.texts)
        assert steps

    def test_teaching_sees_what_answering_saw(self, part: LanguageModel, visual: Tensor) -> None:
        """The same tokens, read at once, give the same choices and the same states."""
        with torch.no_grad():
            prefix = self.read(part, visual[:1])
            answers = self.answer(part, prefix, self.texts[0])
            prompt, given = part.tokenize(self.texts[0]), answers.ids[0]
            ids = torch.tensor([[*prompt, *given]])
            learned = torch.zeros_like(ids, dtype=torch.bool)
            learned[:, len(prompt) :] = True
            logits, states = part.teach(prefix, torch.tensor([0]), ids, learned)
        assert logits.argmax(-1).tolist() == given
        self.close(states[0, len(prompt) - 1 :], answers.states[0])

    def test_state_before_the_norm_is_another(self, config: Any, visual: Tensor) -> None:
        norms: tuple[Norm, Norm] = ("before", "after")
        answers = []
        for norm in norms:
            torch.manual_seed(0)
            lm = self.with_norm(config, norm).eval()
            with torch.no_grad():
                answers.append(self.answer(lm, self.read(lm, visual[:1]), self.texts[0]))
        assert answers[0].ids == answers[1].ids
        assert not torch.allclose(answers[0].states[0], answers[1].states[0])

    # ---- training --------------------------------------------------------------------------------

    def test_rows_are_those_read_alone(self, part: LanguageModel, visual: Tensor) -> None:
        with torch.no_grad():
            both = self.taught(part, self.read(part, visual), torch.tensor([0, 1, 0]))[1]
            alone = self.taught(part, self.read(part, visual[1:]), torch.tensor([0]))[1]
        self.close(both[0], both[2])
        self.close(both[1:2], alone)

    def test_logits_are_those_of_learned_tokens(self, part: LanguageModel, config: Any) -> None:
        logits, states = self.train_outputs(part, config)
        length = len(part.tokenize(self.texts[1])) + 1
        assert states.shape == (1, length, part.spec(config).width)
        assert len(logits) == length - 1
        assert logits.shape[1] > part.token_id(SEG)

    def test_gradients_reach_the_visual_tokens(self, part: LanguageModel, visual: Tensor) -> None:
        visual = visual[:1].clone().requires_grad_()
        logits, _ = self.taught(part, self.read(part, visual), torch.tensor([0]))
        (logits * noise(*logits.shape, seed=1)).sum().backward()
        assert visual.grad is not None
        assert (visual.grad.abs().amax(2) > 0).all()

    @pytest.mark.parametrize("way", ["recompute", "spread_weights"])
    def test_ways_to_save_memory_give_the_same_gradients(self, config: Any, visual: Tensor, way: str) -> None:
        """Of `grounding_core.interfaces.language_model.LanguageModel`."""
        found = []
        for saves in (False, True):
            torch.manual_seed(0)
            lm = self.with_norm(config, "after").train()
            if saves:
                getattr(lm, way)()
            own = visual.clone().requires_grad_()
            logits, _ = self.taught(lm, self.read(lm, own), torch.tensor([0, 1, 0]))
            (logits * noise(*logits.shape, seed=1)).sum().backward()
            assert own.grad is not None
            found.append((logits.detach(), own.grad))
        for plain, saving in zip(*found, strict=True):
            self.close(plain, saving)


def _use_cuda_graphs(lm: LanguageModel) -> None:
    try:
        lm.use_cuda_graphs()
    except GroundingError as refused:
        pytest.skip(str(refused))
