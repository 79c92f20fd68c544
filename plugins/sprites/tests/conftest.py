from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from grounding_sprites.story import Story, tell


@pytest.fixture(scope="session")
def stories() -> Callable[[str], list[Story]]:
    """Twelve stories of a split, told once a session."""
    return cache(lambda split: [tell(5, split, index) for index in range(12)])
