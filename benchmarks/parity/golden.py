"""Golden files, and rows that collect how far our numbers are from theirs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from grounding_core.errors import GroundingError

EXACT = 1e-9
FLOAT32 = 1e-6
"""VideoGLaMM computes boxes in single precision."""


@dataclass
class Row:
    """One metric over all its cases."""

    metric: str
    tolerance: float = EXACT
    errors: list[float] = field(default_factory=list)

    def add(self, ours: npt.ArrayLike, theirs: Any) -> None:
        """Compare one case of numbers; golden ones may be the strings "nan" and "inf". NaN equals NaN."""
        a, b = (np.atleast_1d(np.asarray(numbers(given), dtype=np.float64)) for given in (ours, theirs))
        if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
            self.errors.append(math.inf)
            return
        same = (a == b) | np.isnan(a)
        difference = np.abs(np.where(same, 0.0, a) - np.where(same, 0.0, b))
        self.errors.append(float(difference.max(initial=0.0)))

    def same(self, ours: object, theirs: object) -> None:
        """Compare one case of texts, lists or flags."""
        self.errors.append(0.0 if ours == theirs else math.inf)

    def each(self, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
        """Compare numbers by name; both must have the same names."""
        self.same(sorted(ours), sorted(theirs))
        for key in ours.keys() & theirs.keys():
            self.add(ours[key], theirs[key])

    @property
    def worst(self) -> float:
        """Largest difference; 0 without cases."""
        return max(self.errors, default=0.0)

    @property
    def passed(self) -> bool:
        """Whether all cases agree."""
        return self.worst <= self.tolerance


def numbers(given: Any) -> Any:
    """Nested lists with "nan" and "inf" as floats."""
    if isinstance(given, list | tuple):
        return [numbers(one) for one in given]
    return float(given) if isinstance(given, str) else given


class Golden:
    """One golden JSON file and the bit-packed masks beside it.

    Raises:
        GroundingError: the file is missing or is no JSON object.
    """

    def __init__(self, folder: Path, name: str, arrays: str | None = None) -> None:
        path = folder / f"{name}.json"
        if not path.is_file():
            raise GroundingError(f"{path} is missing.", "Name a folder of golden metric cases.")
        self.content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self._arrays: Mapping[str, Any] = np.load(folder / f"{arrays}.npz") if arrays else {}

    def masks(self, key: str, *shape: int) -> npt.NDArray[np.bool_]:
        """Masks of a case; without an entry, none."""
        if key not in self._arrays:
            return np.zeros(shape, dtype=bool)
        return np.unpackbits(self._arrays[key])[: math.prod(shape)].reshape(shape).astype(bool)

    def labels(self, key: str) -> npt.NDArray[np.uint8]:
        """A label map, which is stored as it is."""
        return np.asarray(self._arrays[key], dtype=np.uint8)
