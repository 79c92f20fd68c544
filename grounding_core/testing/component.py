"""What every part of a model must do, whatever its role."""

from __future__ import annotations

import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from grounding_core.checkpoint import load_weights, save_weights
from grounding_core.hookspecs import GROUP, Kind
from grounding_core.interfaces.component import ComponentConfig
from grounding_core.plugins import registry
from grounding_core.testing.away import away


class EntryConformance(ABC):
    """An installed entry, and the options it is built with.

    Class attributes:
        kind: set by the role.
        name: the entry's name, as recipes write it.
        options: its options for these tests, as a recipe would hold them; choose small sizes.
    """

    kind: ClassVar[Kind]
    role: ClassVar[type | None] = None
    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def make_options(cls, folder: Path) -> Mapping[str, Any]:
        """The options; override it where they name files, and write those below ``folder``."""
        return cls.options

    @pytest.fixture(scope="class")
    @classmethod
    def config(cls, tmp_path_factory: pytest.TempPathFactory) -> Any:
        """The validated options."""
        options = cls.make_options(tmp_path_factory.mktemp("component"))
        return cls.component().Config.model_validate(dict(options))

    @classmethod
    def component(cls) -> Any:
        """The class behind the name."""
        return registry().load(cls.kind, cls.name)

    def test_entry_says_what_it_is(self) -> None:
        assert registry().find(self.kind, self.name).entry.summary, "`grounding plugins` has nothing to show"
        if self.role is not None:
            assert issubclass(self.component(), self.role)

    def test_entry_module_imports_neither_torch_nor_transformers(self) -> None:
        owner = registry().find(self.kind, self.name).distribution
        points = [point for point in distribution(owner).entry_points if point.group == GROUP]
        modules = ", ".join(point.module for point in points)
        code = f"import sys, {modules}; sys.exit(bool({{'torch', 'transformers'}} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr or f"{modules} loads torch or transformers"

    def test_options_go_through_json(self, config: ComponentConfig) -> None:
        text = config.model_dump_json()
        assert type(config).model_validate_json(text) == config
        assert type(config).model_validate(config.model_dump(mode="json")) == config

    def test_unknown_options_are_refused(self, config: ComponentConfig) -> None:
        with pytest.raises(ValidationError, match="no_such_option"):
            type(config).model_validate({**config.model_dump(), "no_such_option": 1})

    def test_options_are_described(self, config: ComponentConfig) -> None:
        silent = [name for name, field in type(config).model_fields.items() if not field.description]
        assert not silent, "the documentation's table of options would have gaps"


class ComponentConformance(EntryConformance):
    """A part with weights.

    Class attributes:
        unreached: patterns (``*`` matches anything) of parameters that training can't reach: no output
            of the training pass depends on them.
        tolerance: largest difference between numbers that must be equal.
    """

    unreached: ClassVar[Sequence[str]] = ()
    tolerance: ClassVar[float] = 1e-4

    @classmethod
    @abstractmethod
    def construct(cls, config: Any) -> nn.Module:
        """The component as `grounding_core.compose.build` makes it."""

    @classmethod
    def outline(cls, config: Any) -> nn.Module:
        """What `grounding recipe show` counts."""
        return cls.construct(config)

    @abstractmethod
    def train_outputs(self, part: nn.Module, config: Any) -> Sequence[Tensor]:
        """Everything that losses are computed from, for the same small inputs each time.

        Inputs are where the part's weights are: `device_of`.
        """

    def answer_outputs(self, part: nn.Module, config: Any) -> Sequence[Tensor]:
        """Everything that answers are made of where that is more, likewise."""
        return ()

    @classmethod
    def make(cls, config: Any, seed: int = 0) -> nn.Module:
        """A component in evaluation mode; the seed decides its weights, unless it loads some."""
        torch.manual_seed(seed)
        return cls.construct(config).eval()

    @pytest.fixture(scope="class")
    @classmethod
    def part(cls, config: Any) -> nn.Module:
        """The component, shared by the tests of a class."""
        return cls.make(config)

    def close(self, a: Tensor, b: Tensor) -> None:
        """Fail unless two tensors are equal within the tolerance."""
        torch.testing.assert_close(a, b, atol=self.tolerance, rtol=self.tolerance)

    def test_gives_the_same_twice(self, part: nn.Module, config: Any) -> None:
        with torch.no_grad():
            twice = [self.train_outputs(part, config) for _ in range(2)]
            for first, again in zip(*twice, strict=True):
                self.close(first, again)

    def test_computes_where_its_weights_are(self, config: Any) -> None:
        """As it must on a GPU; see `grounding_core.testing.away.away`, which needs none."""
        part = self.make(config)

        def outputs() -> list[Tensor]:
            with torch.no_grad():
                answers = self.answer_outputs(part, config)
            return [*self.train_outputs(part, config), *answers]

        expected = [output.detach() for output in outputs()]
        with away() as device:
            part.to(device)
            found = outputs()
            for here, there in zip(expected, found, strict=True):
                assert there.device == device_of(part)
                self.close(here, there.cpu())
            trained = [output.float().sum() for output in found if output.requires_grad]
            if trained:
                torch.autograd.backward(trained)

    def test_weights_go_through_disk(self, config: Any, tmp_path: Path) -> None:
        one, other = self.make(config, seed=1), self.make(config, seed=2)
        if not one.state_dict():
            return
        save_weights(one.state_dict(), tmp_path)
        load_weights(other, tmp_path)
        with torch.no_grad():
            both = [self.train_outputs(module, config) for module in (one, other)]
            for saved, loaded in zip(*both, strict=True):
                self.close(saved, loaded)

    def test_gradients_reach_every_parameter(self, config: Any) -> None:
        part = self.make(config)
        outputs = [output for output in self.train_outputs(part, config) if output.requires_grad]
        trained = {name: value for name, value in part.named_parameters() if value.requires_grad}
        if trained:
            # Random directions: a plain sum is constant behind a norm or a softmax.
            torch.autograd.backward(
                [(output.float() * torch.randn(output.shape)).sum() for output in outputs]
            )
        missed = {name for name, value in trained.items() if value.grad is None}
        unexpected = {name for name in missed if not any(fnmatch(name, form) for form in self.unreached)}
        assert not unexpected, f"no output depends on {sorted(unexpected)}; name what is meant in `unreached`"
        stale = [form for form in self.unreached if not any(fnmatch(name, form) for name in missed)]
        assert not stale, f"`unreached` holds {stale}, which is reached or does not exist"
        for name, value in trained.items():
            assert value.grad is None or torch.isfinite(value.grad).all(), name

    def test_parameters_are_counted_without_memory(self, config: Any, part: nn.Module) -> None:
        """``grounding recipe show`` builds parts on the meta device."""
        with torch.device("meta"):
            outline = self.outline(config)
        assert all(value.is_meta for value in outline.parameters())
        assert _count(outline) == _count(part)


def device_of(part: nn.Module) -> torch.device:
    """Where a part's weights are; one without any takes inputs of the CPU here."""
    weight = next(part.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device


def _count(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())
