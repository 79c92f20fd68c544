"""Where things that can be made again are kept on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """``$GROUNDING_CACHE``, or ``~/.cache/grounding_core``. Not created here."""
    configured = os.environ.get("GROUNDING_CACHE")
    return Path(configured).expanduser() if configured else Path.home() / ".cache" / "grounding_core"
